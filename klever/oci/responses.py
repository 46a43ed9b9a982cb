"""Turns the error responses of registries into Klever's errors (OCI distribution specification 1.1, "Error Codes")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from klever.errors import (
    ConflictError,
    ExhaustedError,
    IntegrityError,
    InvalidError,
    KleverError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = ["MAX_ERROR", "TransientError", "response_error"]

MAX_ERROR: Final = 64 << 10
"""The largest number of bytes that are read from an error's body."""

_BY_STATUS: Final[Mapping[int, type[KleverError]]] = {
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    413: ExhaustedError,
    507: ExhaustedError,
}
_TRANSIENT: Final = {416, 429}  # 416: a registry may still be processing the bytes from a broken connection
_MEANING: Final = {
    401: "the registry rejected the credentials",
    403: "the registry denied access",
    404: "not found in the registry, or the registry's host name is wrong",
    412: "the target has changed meanwhile",
    507: "the registry's disk is full",
}


class TransientError(UnavailableError):
    """A broken connection, or a registry that is overloaded or restarting. The call can be retried."""


def response_error(status: int, body: bytes, url: str) -> KleverError:
    """Return the error of a response with `status` and `body` to a request for `url`, with the registry's message."""
    parts = urlsplit(url)
    code, message = _first_error(body)
    meaning = _MEANING.get(status, f"the registry answered {status}")
    text = f"{parts.netloc}: {message or f'{meaning}: {parts.path}'}"
    if code in {"DIGEST_INVALID", "SIZE_INVALID"}:
        return IntegrityError(text, reason=code)
    kind = _BY_STATUS.get(status)
    if kind is not None:
        return kind(text)
    if status in _TRANSIENT or status >= 500:
        return TransientError(text)
    return InvalidError(text, reason=code)


def _first_error(body: bytes) -> tuple[str, str]:
    """Return code and message of `{"errors": [{"code", "message"}]}`; empty if the body is something else."""
    try:
        error = json.loads(body)["errors"][0]
        code, message = error.get("code", ""), error.get("message", "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""
    return (code, message) if isinstance(code, str) and isinstance(message, str) else ("", "")
