"""Reads the fields that requests have in common."""

from __future__ import annotations

import re
from typing import Any, Final

from klever.errors import FieldViolation, InvalidError

__all__ = [
    "DEFAULT_NAMESPACE",
    "MAX_PAGE_BYTES",
    "is_dry",
    "list_namespace",
    "object_in",
    "page_size",
    "read_tail",
    "required",
    "violation",
]

DEFAULT_NAMESPACE: Final = "default"
_PAGE_SIZE: Final = 500
_OBJECT: Final = re.compile(r"(apiVersion|kind|metadata|spec|status)\b")
"""The beginning of the path of a field of an object."""
MAX_PAGE_BYTES: Final = 3 << 20
"""Clients accept messages of up to 4 MiB."""


def violation(field: str, description: str) -> InvalidError:
    """Return an error about one field of a request."""
    return InvalidError(violations=(FieldViolation(field, description),))


def required(field: str, value: str) -> str:
    """Return the value. Raise `InvalidError` with the name of the field if it is empty."""
    if not value:
        raise violation(field, "is required")
    return value


class object_in:  # noqa: N801 - used as a function, like contextlib.suppress
    """Let the violations of an object name the field of the request that has the object. Messages stay as they are.

    Tools show the messages to users, whose documents have no such field. The error itself is changed: a second one,
    raised from it, kept the requests of refused calls in memory until a garbage collection.
    """

    def __init__(self, field: str) -> None:
        self._field = field

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, InvalidError):
            error.violations = tuple(map(self._named, error.violations))

    def _named(self, violation: FieldViolation) -> FieldViolation:
        if not _OBJECT.match(violation.field):
            return violation
        return FieldViolation(f"{self._field}.{violation.field}", violation.description)


def page_size(asked: int) -> int:
    """Return the maximum number of items of a page. Raise `InvalidError` if `asked` is negative."""
    if asked < 0:
        raise violation("page_size", f"must be 0 or more, not {asked}")
    return min(asked or _PAGE_SIZE, _PAGE_SIZE)


def read_tail(request: Any) -> int | None:
    """Return the number of a log's last lines to send, or None for all. Raise `InvalidError` if it is negative."""
    if not request.HasField("tail"):
        return None
    if request.tail < 0:
        raise violation("tail", f"must be 0 or more, not {request.tail}")
    return int(request.tail)


def is_dry(request: Any) -> bool:
    """Return whether to validate a write without storing it. Requests of plugins' kinds may lack the field."""
    return bool(getattr(request, "validate_only", False))


def list_namespace(request: Any) -> str:
    """Return the namespace of a list or watch. Empty means all namespaces, or a kind without namespaces."""
    namespace = str(getattr(request, "namespace", ""))
    return "" if namespace == "-" else namespace
