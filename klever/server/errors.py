"""The exception tree as gRPC statuses with google.rpc details."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import code_pb2, error_details_pb2, status_pb2

from klever import errors
from klever.api.kinds import GROUP

__all__ = ["CODES", "code_of", "to_status"]

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


def code_of(error: Exception) -> grpc.StatusCode:
    """Return the status code of an error; INTERNAL for what the tree does not know."""
    for kind, code in CODES.items():
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


def to_status(error: errors.KleverError) -> status_pb2.Status:
    """Return a google.rpc.Status with ErrorInfo and, for invalid input, one violation per field."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=GROUP, metadata=error.metadata)
    details = [_pack(info)]
    if isinstance(error, errors.InvalidError) and error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        details.append(_pack(error_details_pb2.BadRequest(field_violations=violations)))
    name = code_of(error).name
    return status_pb2.Status(code=code_pb2.Code.Value(name), message=error.message, details=details)


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
