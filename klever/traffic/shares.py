"""Shares: whole percentages over the predictors without matches, by predictor name. They sum to 100."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from klever.errors import FieldViolation, InvalidError
from klever.traffic.matches import is_matched

__all__ = ["WHOLE", "check_shares", "check_sum", "format_shares", "parse_shares", "read_shares", "set_shares"]

WHOLE: Final = 100
"""The sum of all shares, in percent."""


def read_shares(predictors: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the share of each predictor without matches. A single one without `traffic` takes all."""
    shared = [p for p in predictors if not is_matched(p)]
    if len(shared) == 1 and "traffic" not in shared[0]:
        return {shared[0]["name"]: WHOLE}
    return {p["name"]: int(p.get("traffic", 0)) for p in shared}


def set_shares(predictors: Iterable[dict[str, Any]], shares: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the predictors with new shares. One that `shares` does not name gets 0."""
    return [p if is_matched(p) else {**p, "traffic": shares.get(p["name"], 0)} for p in predictors]


def check_shares(shares: Mapping[str, int], predictors: Iterable[Mapping[str, Any]]) -> None:
    """Raise `InvalidError`, with a violation for each bad share, unless the predictors can take these shares."""
    names = sorted(read_shares(predictors))
    violations = [
        FieldViolation(f"traffic[{name}]", f"no such predictor without matches; expected one of {names}")
        for name in sorted(shares.keys() - set(names))
    ]
    violations += [
        FieldViolation(f"traffic[{name}]", f"must be between 0 and {WHOLE}, not {share}")
        for name, share in shares.items()
        if not 0 <= share <= WHOLE
    ]
    if violations:
        raise InvalidError(violations=tuple(violations))
    check_sum(shares)


def check_sum(shares: Mapping[str, int]) -> None:
    """Raise `InvalidError` unless the shares sum to 100."""
    total = sum(shares.values())
    if total != WHOLE:
        raise InvalidError(violations=(FieldViolation("traffic", f"must sum to {WHOLE}, not {total}"),))


def format_shares(shares: Mapping[str, int], separator: str = " ") -> str:
    """Return `main=80 canary=20`."""
    return separator.join(f"{name}={share}" for name, share in shares.items())


def parse_shares(pairs: Sequence[str]) -> dict[str, int]:
    """Parse `main=80`, `canary=20`, …; raises `InvalidError`. The sum is not checked."""
    shares: dict[str, int] = {}
    for pair in pairs:
        name, _, percent = pair.partition("=")
        if not name or not (percent.isascii() and percent.isdecimal()) or len(percent) > 3:
            raise InvalidError(f"invalid share {pair[:80]!r}: expected PREDICTOR=PERCENT")
        if name in shares:
            raise InvalidError(f"predictor {name} has two shares: give one")
        shares[name] = int(percent)
    return shares
