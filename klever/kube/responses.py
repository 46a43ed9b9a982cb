"""What an API server's refusals mean: a Status becomes one of our errors.

Source: k8s.io/apimachinery `pkg/apis/meta/v1` (Status, StatusReason, CauseType).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from klever.errors import (
    AlreadyExistsError,
    ConflictError,
    DeadlineError,
    ExhaustedError,
    ExpiredError,
    FailedPreconditionError,
    FieldViolation,
    InvalidError,
    KleverError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = ["no_api_server", "response_error"]

_BY_REASON: dict[str, type[KleverError]] = {
    "AlreadyExists": AlreadyExistsError,
    "Expired": ExpiredError,
    "Gone": ExpiredError,
    "Timeout": DeadlineError,
    "ServerTimeout": UnavailableError,
    "StorageReadError": UnavailableError,
}
_BY_CODE: dict[int, type[KleverError]] = {
    400: InvalidError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: FailedPreconditionError,
    408: DeadlineError,
    409: ConflictError,
    410: ExpiredError,
    413: InvalidError,
    415: FailedPreconditionError,
    422: InvalidError,
    429: ExhaustedError,
    500: UnavailableError,
    502: UnavailableError,
    503: UnavailableError,
    504: DeadlineError,
    507: ExhaustedError,
}


_SERVERS_OWN = (UnavailableError, DeadlineError, ExhaustedError)
"""Where the words of the server do not tell what was asked."""
_SHOWN = 200


def response_error(code: int, body: bytes | dict[str, Any], what: str) -> KleverError:
    """Return the error of an answer that is no success; `what` says what was asked of which server."""
    status = body if isinstance(body, dict) else _parsed(body)
    if status is None:
        return _of_code(code, body if isinstance(body, bytes) else b"", what)
    message = str(status.get("message") or what)
    details = status.get("details") or {}
    if code == 401:
        who = "the API server takes the kubeconfig's credentials for nobody's (expired?): renew them"
        return UnauthenticatedError(f"{what}: {who} ({message})", reason="KUBECONFIG")
    if code == 404:
        return _not_found(details, message, what)
    return _refusal(code, str(status.get("reason", "")), details.get("causes") or [], message, what)


def no_api_server(what: str, told: Any) -> UnavailableError:
    """Return the error of an answer that no API server gives: another server's, or one cut short by a proxy."""
    words = told.decode(errors="replace").strip() if isinstance(told, bytes) else str(told)
    return UnavailableError(f"{what}: the answer is no API server's (is the address right?): {words[:_SHOWN]!r}")


def _not_found(details: dict[str, Any], message: str, what: str) -> KleverError:
    if details.get("kind") == "namespaces":
        return NotFoundError(message, reason="NAMESPACE_NOT_FOUND")
    return NotFoundError(message) if details.get("name") else _no_such_kind(what)


def _refusal(code: int, reason: str, causes: list[dict[str, Any]], message: str, what: str) -> KleverError:
    if code == 422 or reason == "Invalid":
        return InvalidError(message, violations=tuple(_violations(causes)))
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return PermissionDeniedError(message, reason="NAMESPACE_TERMINATING")
    if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
        return ExpiredError(message)  # of the server's data before it was restored: list again
    error = _BY_REASON.get(reason, _BY_CODE.get(code, UnavailableError))
    return error(f"{what}: {message}" if error in _SERVERS_OWN else message)


def _of_code(code: int, body: bytes, what: str) -> KleverError:
    """A proxy's words, or those of an API server that has no such path."""
    if code == 404:
        return _no_such_kind(what)
    words = body[:_SHOWN].decode(errors="replace").strip()
    if code < 400:
        return no_api_server(f"{what}: {code}", body)
    if code == 400:
        return FailedPreconditionError(f"{what} answered 400 {words} (are its address and scheme right?)")
    return _BY_CODE.get(code, UnavailableError)(f"{what}: the API server answered {code} {words}")


def _no_such_kind(what: str) -> FailedPreconditionError:
    return FailedPreconditionError(
        f"{what}: the server knows no such kind; install Klever's with `kubectl apply -f config/crd/`",
        reason="KIND_NOT_INSTALLED",
    )


def _violations(causes: list[dict[str, Any]]) -> Iterator[FieldViolation]:
    """Remarks without a field (that rules were not checked, say) are none."""
    for cause in causes:
        if cause.get("field") not in (None, "", "<nil>"):
            yield FieldViolation(str(cause["field"]), str(cause.get("message", "")))


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return status if isinstance(status, dict) and status.get("kind") == "Status" else None
