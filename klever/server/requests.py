"""Reads the fields that requests have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def object_in(field: str) -> Iterator[None]:
    """Let the violations of an object name the field of the request that has the object. Messages stay as they are.

    Tools show the messages to users, whose documents have no such field.
    """
    try:
        yield
    except InvalidError as error:
        named = tuple(
            FieldViolation(f"{field}.{v.field}", v.description) if _OBJECT.match(v.field) else v
            for v in error.violations
        )
        raise InvalidError(error.message, violations=named, reason=error.reason, metadata=error.metadata) from error


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
