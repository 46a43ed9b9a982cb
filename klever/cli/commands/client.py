"""Calls to the server over one channel, with the token and deadlines. Statuses become Klever's errors again."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from klever import errors
from klever.cli.settings import Settings
from klever.oci.registries import is_loopback
from klever.v1alpha1 import job_service_pb2_grpc, model_service_pb2_grpc, serving_service_pb2_grpc

__all__ = ["Api", "connect"]

DEADLINE: Final = 30.0
_FOLLOWING: Final = 30 * 86400.0
"""The deadline in seconds of a stream without a limit: without any deadline the server would set its own."""

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


def connect(args: argparse.Namespace) -> Api:
    """Return the API of the server that the flags, environment and configuration name."""
    settings = Settings.load(
        os.environ,
        plaintext=args.plaintext,
        server=args.server,
        namespace=args.namespace,
        token=args.token,
        ca_file=args.ca_file,
    )
    return Api(settings)


class Api:
    def __init__(self, settings: Settings) -> None:
        """Open the channel. Raises `FailedPreconditionError` if the token must not be sent to the server."""
        settings.check()
        self.settings = settings
        channel = _channel(settings)
        self._channel = channel
        self.models: Any = model_service_pb2_grpc.ModelServiceStub(channel)
        self.jobs: Any = job_service_pb2_grpc.JobServiceStub(channel)
        self.servings: Any = serving_service_pb2_grpc.ServingServiceStub(channel)
        self._metadata = [("authorization", f"Bearer {settings.token}")] if settings.token else []

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    def method(self, method: MethodDescriptor) -> Any:
        """Return the stub of an RPC."""
        make = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
        return make(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )

    def call(self, method: Any, request: Any, timeout: float = DEADLINE) -> Any:
        """Make a unary call. Raises the error of `klever.errors` for the status."""
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error) from error

    def stream(self, method: Any, request: Any, timeout: float | None = None) -> Iterator[Any]:
        """Make a server-streaming call, without a limit unless a timeout is given."""
        try:
            yield from method(request, timeout=_FOLLOWING if timeout is None else timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error) from error

    def _error(self, error: Any) -> errors.KleverError:
        code, message, reason = error.code(), _words(error.details() or ""), _reason(error)
        kind = _ERRORS.get(code, errors.KleverError)
        if kind is errors.UnavailableError and not reason and (failure := _tls_failure(message)):
            return errors.UnavailableError(f"{self.settings.server}: {failure}", reason="TLS")
        if kind is errors.UnavailableError and not reason:  # no Klever server has answered
            message = f"no answer from {self.settings.server}: is `klever up` running? ({message})"
        elif kind is errors.KleverError and not message:
            message = (
                f"{self.settings.server} does not know this call ({code.name}): is it a Klever platform, at the "
                "address that `klever up` printed? Set the address with --server or KLEVER_SERVER"
            )
        return kind(message or f"{self.settings.server} answered {code.name} without a message", reason=reason)


def _channel(settings: Settings) -> grpc.Channel:
    parts = urlsplit(settings.url)
    # grpc would use a proxy for loopback, too.
    options = (("grpc.enable_http_proxy", 0),) if is_loopback(parts.hostname or "") else ()
    if parts.scheme == "http":
        return grpc.insecure_channel(parts.netloc, options=options)
    roots = settings.ca.read_bytes() if settings.ca else None
    return grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(roots), options=options)


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


def _reason(error: Any) -> str:
    """Return the reason from a Klever server; empty if there is none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""
