"""Converts errors to gRPC statuses with google.rpc details."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from klever import errors
from klever.api.kinds import GROUP

__all__ = ["CODES", "shortened", "to_code", "to_status"]

CODES: dict[type[errors.KleverError], grpc.StatusCode] = {
    errors.InvalidError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.ConflictError: grpc.StatusCode.ABORTED,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.ExpiredError: grpc.StatusCode.OUT_OF_RANGE,
    errors.ExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.IntegrityError: grpc.StatusCode.DATA_LOSS,
}


# A status travels in HTTP/2 trailers. If they are too long, a proxy closes the connection, which all calls share.
_MOST_MESSAGE = 2_000
_MOST_VIOLATIONS, _MOST_PATH, _MOST_DESCRIPTION = 20, 200, 200
"""Bytes in UTF-8: a character can take four, and twelve as a header."""


def to_code(error: Exception) -> grpc.StatusCode:
    """Return the status code of an error, INTERNAL if it is not a KleverError."""
    for kind, code in CODES.items():
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


def to_status(error: Exception, request_id: str) -> status_pb2.Status:
    """Return a google.rpc.Status with ErrorInfo, RequestInfo and, for invalid input, one violation per field.

    Callers do not see the text of an error that is not a KleverError. The server logs it with the request id.
    """
    request = error_details_pb2.RequestInfo(request_id=request_id)
    if not isinstance(error, errors.KleverError):
        message = f"internal error: see request {request_id} in the server's log"
        return status_pb2.Status(code=code_pb2.INTERNAL, message=message, details=[_pack(request)])
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=GROUP, metadata=_metadata(error))
    details = [_pack(info), _pack(request)]
    if isinstance(error, errors.InvalidError) and error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=shortened(v.field, _MOST_PATH), description=shortened(v.description, _MOST_DESCRIPTION)
            )
            for v in error.violations[:_MOST_VIOLATIONS]
        ]
        details.append(_pack(error_details_pb2.BadRequest(field_violations=violations)))
    name = to_code(error).name
    message = shortened(error.message)
    return status_pb2.Status(code=code_pb2.Code.Value(name), message=message, details=details)


def shortened(text: str, most: int = _MOST_MESSAGE) -> str:
    """Return a text with at most so many bytes in UTF-8: what an error quotes can be as long as a request."""
    content = text.encode(errors="replace")
    return content.decode() if len(content) <= most else f"{content[: most - 3].decode(errors='ignore')}..."


def _metadata(error: errors.KleverError) -> dict[str, str]:
    return {name: shortened(value, _MOST_DESCRIPTION) for name, value in error.metadata.items()}


def _pack(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
