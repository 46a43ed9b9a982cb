"""Maps Klever's errors to HTTP responses of the distribution specification ("Error Codes")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from klever.errors import (
    AlreadyExistsError,
    ConflictError,
    DeadlineError,
    ExhaustedError,
    FailedPreconditionError,
    IntegrityError,
    InvalidError,
    KleverError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from klever.oci.encoding import encode_json

__all__ = ["error_response", "http_status"]

_STATUS_BY_REASON: Final[Mapping[str, int]] = {
    "BLOB_IN_USE": 405,
    "DENIED": 403,
    "DIGEST_INVALID": 400,
    "BLOB_UPLOAD_INVALID": 416,
    "TOO_LARGE": 413,
    "TOOMANYREQUESTS": 429,
}
_STATUS: Final[Mapping[type[KleverError], int]] = {
    InvalidError: 400,
    UnauthenticatedError: 401,
    PermissionDeniedError: 403,
    NotFoundError: 404,
    DeadlineError: 408,
    AlreadyExistsError: 409,
    FailedPreconditionError: 409,
    ConflictError: 412,
    UnavailableError: 503,
    ExhaustedError: 507,
    IntegrityError: 500,
}
_SPECIFIED: Final = {"UNAUTHENTICATED": "UNAUTHORIZED", "PERMISSION_DENIED": "DENIED"}
_CHALLENGE: Final = 'Basic realm="klever"'


def http_status(error: KleverError) -> int:
    """Return the HTTP status for `error`."""
    if error.reason in _STATUS_BY_REASON:
        return _STATUS_BY_REASON[error.reason]
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def error_response(
    status: int, code: str, message: str, detail: Mapping[str, str] | None = None, headers: Mapping[str, str] = {}
) -> web.Response:
    """Return `{"errors": [{"code", "message", "detail"}]}`, with a challenge if credentials are missing."""
    error = {"code": _SPECIFIED.get(code, code), "message": message, "detail": dict(detail or {})}
    return web.Response(
        status=status,
        body=encode_json({"errors": [error]}),
        content_type="application/json",
        headers={**headers, "WWW-Authenticate": _CHALLENGE} if status == 401 else headers,
    )
