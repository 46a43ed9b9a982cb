"""gRPC statuses as the errors of `klever.errors`, the reverse of `klever.server.errors`."""

from __future__ import annotations

import json
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from klever import errors

__all__ = ["is_unsent", "to_error"]

_ERRORS: Final[dict[grpc.StatusCode, type[errors.KleverError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExistsError,
    grpc.StatusCode.ABORTED: errors.ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPreconditionError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.OUT_OF_RANGE: errors.ExpiredError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ExhaustedError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineError,
    grpc.StatusCode.DATA_LOSS: errors.IntegrityError,
}


def to_error(error: Any, server: str, *, inference: bool = False) -> errors.KleverError:
    """Return the error for the `grpc.RpcError` of a call to `server`, with its reason, metadata and violations.

    The gateway and the runtimes answer an `inference` without a reason.
    """
    code, message = error.code(), _words(error.details() or "")
    kind = _ERRORS.get(code, errors.KleverError)
    info, violations = _details(error)
    if kind is errors.UnavailableError and not info.reason and (failure := _tls_failure(message)):
        return errors.UnavailableError(f"{server}: {failure}", reason="TLS")
    answered = inference and not is_unsent(error)
    if kind is errors.UnavailableError and not info.reason and not answered:  # no Klever server has answered
        message = f"no answer from {server}: is `klever up` running? ({message})"
    elif kind is errors.KleverError and not message:
        message = (
            f"{server} does not know this call ({code.name}): is it a Klever platform, at the address that `klever up` "
            "printed? Set the address with --server or KLEVER_SERVER"
        )
    message = message or f"{server} answered {code.name} without a message"
    more: dict[str, Any] = {"reason": info.reason, "metadata": dict(info.metadata)}
    return kind(message, **more, violations=violations) if kind is errors.InvalidError else kind(message, **more)


def is_unsent(error: Any) -> bool:
    """Return whether a call failed before it was sent, so that it is safe to make it again."""
    return bool(error.code() is grpc.StatusCode.UNAVAILABLE) and "failed to connect to all addresses" in error.details()


def _words(details: str) -> str:
    """Return the message of a response. Errors of the gateway itself are JSON."""
    try:
        document = json.loads(details)
    except ValueError:
        return details
    return str(document["error"]) if isinstance(document, dict) and "error" in document else details


def _tls_failure(details: str) -> str:
    """Return the error of a TLS handshake, which gRPC reports as text only; empty for other errors."""
    if "WRONG_VERSION_NUMBER" in details:
        return "the server does not use TLS"
    _, failed, why = details.rpartition("CERTIFICATE_VERIFY_FAILED: ")
    if not failed:
        _, failed, why = details.rpartition("Peer name ")
    return f"the certificate is not trusted: {why}" if failed else ""


def _details(error: Any) -> tuple[Any, tuple[errors.FieldViolation, ...]]:
    """Return the ErrorInfo and the violations from a Klever server; both are empty if there are none."""
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(request)
    return info, tuple(errors.FieldViolation(v.field, v.description) for v in request.field_violations)
