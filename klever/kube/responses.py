"""Turns the Status of an API server's error into an error of `klever.errors`.

Source: k8s.io/apimachinery `pkg/apis/meta/v1` (Status, StatusReason, CauseType).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from klever import errors
from klever.errors import FieldViolation, KleverError

__all__ = ["no_api_server", "response_error"]

_BY_REASON: dict[str, type[KleverError]] = {
    "AlreadyExists": errors.AlreadyExistsError, "Expired": errors.ExpiredError, "Gone": errors.ExpiredError,
    "Timeout": errors.DeadlineError, "ServerTimeout": errors.UnavailableError,
    "StorageReadError": errors.UnavailableError,
}  # fmt: skip
_BY_CODE: dict[int, type[KleverError]] = {
    400: errors.InvalidError, 413: errors.InvalidError, 422: errors.InvalidError,
    401: errors.UnauthenticatedError, 403: errors.PermissionDeniedError, 404: errors.NotFoundError,
    405: errors.FailedPreconditionError, 415: errors.FailedPreconditionError,
    408: errors.DeadlineError, 504: errors.DeadlineError, 409: errors.ConflictError, 410: errors.ExpiredError,
    429: errors.ExhaustedError, 507: errors.ExhaustedError,
    500: errors.UnavailableError, 502: errors.UnavailableError, 503: errors.UnavailableError,
}  # fmt: skip
_SERVERS_OWN = (errors.UnavailableError, errors.DeadlineError, errors.ExhaustedError)
"""Errors whose message from the server does not name the request."""
_SHOWN = 200


def response_error(code: int, body: bytes | dict[str, Any], what: str) -> KleverError:
    """Return the error of an unsuccessful response. `what` names the request and the server."""
    status = body if isinstance(body, dict) else _parsed(body)
    if status is None:
        return _of_code(code, body if isinstance(body, bytes) else b"", what)
    message = str(status.get("message") or what)
    details = status.get("details") or {}
    if code == 401:
        who = "the API server rejected the credentials of the kubeconfig (expired?): renew them"
        return errors.UnauthenticatedError(f"{what}: {who} ({message})", reason="KUBECONFIG")
    if code == 404:
        return _not_found(details, message, what)
    return _refusal(code, str(status.get("reason", "")), details.get("causes") or [], message, what)


def no_api_server(what: str, told: Any) -> errors.UnavailableError:
    """Return the error of a response that is not from an API server, or that a proxy truncated."""
    words = told.decode(errors="replace").strip() if isinstance(told, bytes) else str(told)
    return errors.UnavailableError(
        f"{what}: the response is not from an API server (is the address right?): {words[:_SHOWN]!r}"
    )


def _not_found(details: dict[str, Any], message: str, what: str) -> KleverError:
    if details.get("kind") == "namespaces":
        return errors.NotFoundError(message, reason="NAMESPACE_NOT_FOUND")
    return errors.NotFoundError(message) if details.get("name") else _no_such_kind(what)


def _refusal(code: int, reason: str, causes: list[dict[str, Any]], message: str, what: str) -> KleverError:
    if code == 422 or reason == "Invalid":
        return errors.InvalidError(message, violations=tuple(_violations(causes)))
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return errors.PermissionDeniedError(message, reason="NAMESPACE_TERMINATING")
    if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
        return errors.ExpiredError(message)  # the version is from before the server's data was restored: list again
    error = _BY_REASON.get(reason, _BY_CODE.get(code, errors.UnavailableError))
    return error(f"{what}: {message}" if error in _SERVERS_OWN else message)


def _of_code(code: int, body: bytes, what: str) -> KleverError:
    """Return the error of a response without a Status, from a proxy or from an API server without such a path."""
    if code == 404:
        return _no_such_kind(what)
    words = body[:_SHOWN].decode(errors="replace").strip()
    if code < 400:
        return no_api_server(f"{what}: {code}", body)
    if code == 400:
        return errors.FailedPreconditionError(f"{what} answered 400 {words} (are its address and scheme right?)")
    return _BY_CODE.get(code, errors.UnavailableError)(f"{what}: the API server answered {code} {words}")


def _no_such_kind(what: str) -> errors.FailedPreconditionError:
    return errors.FailedPreconditionError(
        f"{what}: the server does not have this kind: install Klever's kinds with `kubectl apply -f config/crd/`",
        reason="KIND_NOT_INSTALLED",
    )


def _violations(causes: list[dict[str, Any]]) -> Iterator[FieldViolation]:
    """Yield the violations of fields. A cause without a field is a remark, e.g. that rules were not checked."""
    for cause in causes:
        if cause.get("field") not in (None, "", "<nil>"):
            yield FieldViolation(str(cause["field"]), str(cause.get("message", "")))


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return status if isinstance(status, dict) and status.get("kind") == "Status" else None
