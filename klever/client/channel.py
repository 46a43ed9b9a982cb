"""The channels to a server: one for calls, one for asyncio. Both retry the calls for which a retry is safe."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.descriptor import MethodDescriptor

from klever.client.settings import Settings
from klever.limits import DEFAULTS
from klever.oci.registries import is_loopback
from klever.v1alpha1 import job_service_pb2, model_service_pb2, server_service_pb2, serving_service_pb2

__all__ = ["SERVICES", "open_async_channel", "open_channel"]

SERVICES: Final[dict[str, Any]] = {
    name: service
    for file in (job_service_pb2, model_service_pb2, server_service_pb2, serving_service_pb2)
    for name, service in file.DESCRIPTOR.services_by_name.items()
}
"""The services of the API by their names."""

_RETRY: Final = {
    "maxAttempts": 3,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def open_channel(settings: Settings) -> grpc.Channel:
    target, options = urlsplit(settings.url).netloc, _options(settings)
    if settings.url.startswith("http:"):
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, _credentials(settings), options=options)


def open_async_channel(settings: Settings) -> Any:
    """Return a channel for the running event loop."""
    target, options = urlsplit(settings.url).netloc, _options(settings)
    if settings.url.startswith("http:"):
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, _credentials(settings), options=options)


def _credentials(settings: Settings) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(settings.ca.read_bytes() if settings.ca else None)


def _options(settings: Settings) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", _service_config()),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.max_receive_message_length", DEFAULTS.request_bytes),
    ]
    # grpc would also use a proxy for loopback.
    loopback = is_loopback(urlsplit(settings.url).hostname or "")
    return [*options, ("grpc.enable_http_proxy", 0)] if loopback else options


@cache
def _service_config() -> str:
    names = [
        {"service": service.full_name, "method": method.name}
        for service in SERVICES.values()
        for method in service.methods
        if _is_repeatable(method)
    ]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": _RETRY}]})


def _is_repeatable(method: MethodDescriptor) -> bool:
    """Whether it is safe to call a method again: it only reads, or its request has an id that makes one object."""
    if method.server_streaming:
        return False
    fields: Any = method.input_type.fields_by_name
    return method.name.startswith(("Get", "List", "Render")) or "request_id" in fields
