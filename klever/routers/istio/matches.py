"""Header matches in Istio's form, and those that it cannot express."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cel_expr_python import cel

from klever.errors import FieldViolation, InvalidError
from klever.routers import Route
from klever.traffic.matches import HeaderMatch, Match, MatchType

__all__ = ["check_expressible", "check_expressions", "header_conditions"]

_ADDRESSES: Final = ("seldon", "namespace")
_RE2: Final = cel.NewEnv(variables={"pattern": cel.Type.DYN}).compile("''.matches(pattern)")


def header_conditions(match: Match) -> dict[str, Any]:
    """Return the parts of an HTTPMatchRequest."""
    wanted = {header.name: _condition(header) for header in match if not header.negate}
    unwanted = {header.name: _condition(header) for header in match if header.negate}
    return {
        **({"headers": wanted} if wanted else {}),
        **({"withoutHeaders": unwanted} if unwanted else {}),
    }


def check_expressible(matches: tuple[Match, ...]) -> Iterator[FieldViolation]:
    """Yield a violation for each condition that Istio cannot express, with field paths in a predictor."""
    for number, match in enumerate(matches):
        seen = {(name, False) for name in _ADDRESSES}
        for index, header in enumerate(match):
            if (header.name, header.negate) in seen:
                yield FieldViolation(f"matches[{number}].headers[{index}].name", _why(header))
            seen.add((header.name, header.negate))


def check_expressions(route: Route) -> None:
    """Raise `InvalidError` for an invalid regular expression. The gateway would reject all routes because of it."""
    for header in (header for target in route.targets for match in target.matches for header in match):
        if header.type is MatchType.REGEX and not _is_valid(header.value):
            raise InvalidError(
                f"the gateway would reject the regular expression {header.value!r} for the header {header.name}: "
                "it must have RE2 syntax",
                reason="ROUTE_REFUSED",
            )


def _is_valid(expression: str) -> bool:
    return isinstance(_RE2.eval(data={"pattern": expression}).value(), bool)


def _why(header: HeaderMatch) -> str:
    if header.name in _ADDRESSES:
        return f"gRPC requests name their Serving in {header.name!r}: use your own header, such as x-variant"
    kind = "negated condition" if header.negate else "condition"
    return f"Istio supports one {kind} for each header of a match: combine those on {header.name!r} in one regex"


def _condition(header: HeaderMatch) -> dict[str, str]:
    """Return a StringMatch; an empty one says that the header is present."""
    return {} if header.type is MatchType.PRESENT else {header.type.value: header.value}
