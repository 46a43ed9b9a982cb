"""What a registry's answers mean (OCI distribution specification 1.1, "Error Codes"), as Klever's errors."""

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

__all__ = ["MAX_ERROR", "TransientError", "error_of"]

MAX_ERROR: Final = 64 << 10
"""Bytes of an error's body that are read at the most."""

_BY_STATUS: Final[Mapping[int, type[KleverError]]] = {
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    413: ExhaustedError,
    507: ExhaustedError,
}
_TRANSIENT: Final = {416, 429}  # 416: a registry may still be taking in what a broken connection had brought
_MEANING: Final = {
    401: "the registry wants other credentials",
    403: "the registry does not allow it",
    404: "the registry does not have it, or is called by a name that is not its own",
    412: "it has changed meanwhile",
    507: "the registry's disk is full",
}


class TransientError(UnavailableError):
    """A connection that broke, or a registry that is overloaded or restarting: worth another try."""


def error_of(status: int, body: bytes, url: str) -> KleverError:
    """The error that an answer with `status` and `body` to a request for `url` is, in the registry's own words."""
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
    """Code and message of `{"errors": [{"code", "message"}]}`; empty where the body is something else."""
    try:
        error = json.loads(body)["errors"][0]
        code, message = error.get("code", ""), error.get("message", "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""
    return (code, message) if isinstance(code, str) and isinstance(message, str) else ("", "")
