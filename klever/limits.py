"""The limits of the platform, in one table: every size that can become memory, disk or time has a row here.

`Limits` holds the values of one platform. An operator changes a value with `klever up --limit NAME=VALUE`. Code below
`klever.cmd` is given the `Limits` that it needs, and refuses what exceeds one through `Limits.check`, so that every
refusal says what is too large, how large it is, what the limit is, and how to change it. `docs/limits.md` is generated
from this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Self

from klever.errors import FieldViolation, InvalidError

__all__ = ["DEFAULTS", "Limit", "Limits"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One row: a name as in `--limit NAME=VALUE`, its value, the unit of the value, and what it bounds."""

    name: str
    value: int
    unit: str
    bounds: str


def _limit(default: int, unit: str, bounds: str) -> int:
    return field(default=default, metadata={"unit": unit, "bounds": bounds})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The values of one platform. Every field is a limit; its metadata gives the unit and what the limit bounds."""

    tensors: int = _limit(1_000, "tensors", "inputs, and outputs, of a signature")
    tensor_rank: int = _limit(32, "dimensions", "the rank of a tensor in a signature")
    tensor_elements: int = _limit(1 << 26, "elements", "the elements of a tensor, where dynamic dimensions count as 1")
    example_bytes: int = _limit(64 << 20, "bytes", "an example request, and the health probe made from a signature")
    versions_by_time: int = _limit(1_000, "versions", "the versions of a model that are listed by their time")
    tags_per_page: int = _limit(1_000, "tags", "a page of the registry's lists")
    manifest_bytes: int = _limit(4 << 20, "bytes", "a manifest that is pushed to the registry")
    upload_sessions: int = _limit(1_000, "uploads", "the blob uploads that are open at a time")
    upload_sessions_per_repository: int = _limit(500, "uploads", "the blob uploads that are open for one repository")

    @classmethod
    def parse(cls, settings: Iterable[str]) -> Self:
        """Return the defaults with `NAME=VALUE` applied; raises `InvalidError` that names the setting."""
        limits = cls()
        for setting in settings:
            name, _, value = setting.partition("=")
            known = {limit.name: limit for limit in limits.rows()}
            if name not in known:
                raise InvalidError(f"invalid limit {name!r}: must be one of {', '.join(sorted(known))}")
            if not (value.isascii() and value.isdecimal() and 0 < int(value) < 1 << 63):
                raise InvalidError(
                    f"invalid limit {setting!r}: the value must be a positive number of {known[name].unit}"
                )
            limits = replace(limits, **{name: int(value)})
        return limits

    def rows(self) -> tuple[Limit, ...]:
        """Return the table, in the order of the fields."""
        return tuple(
            Limit(f.name, getattr(self, f.name), f.metadata["unit"], f.metadata["bounds"]) for f in fields(self)
        )

    def check(self, name: str, used: int, what: str, path: str = "") -> None:
        """Raise `InvalidError` if `used` exceeds the limit `name`; `what` names the thing, `path` is a field path."""
        limit = next(row for row in self.rows() if row.name == name)
        if used <= limit.value:
            return
        message = (
            f"{what} has {used} {limit.unit}, and the limit {name} is {limit.value}: "
            f"reduce it, or start the platform with --limit {name}={used}"
        )
        violations = (FieldViolation(path, message),) if path else ()
        raise InvalidError(message, violations=violations, reason="LIMIT_EXCEEDED", metadata={"limit": name})


DEFAULTS = Limits()
