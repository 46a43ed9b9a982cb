"""The gRPC server: services, reflection and health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from klever.limits import DEFAULTS, Limits
from klever.server.binding import Binder
from klever.server.services import Service

__all__ = ["make_server"]

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # gRPC would decompress a message before it is known who sent it, and look at its size afterwards: 300 kB become
    # 300 MB. To disable the algorithms instead would let anybody write lines into our log, from within gRPC.
    ("grpc.per_message_decompression", 0),
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 60_000),
    ("grpc.max_concurrent_streams", 1000),
)

_MOST_BYTES = (1 << 31) - 1
"""gRPC counts bytes of messages in 32 bits."""


class _Symbols:
    """Descriptors by the names of methods and fields as well: a pool finds files by types and services alone."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def FindFileContainingSymbol(self, name: str) -> FileDescriptor:  # noqa: N802 - a pool's method
        try:
            return self._pool.FindFileContainingSymbol(name)
        except KeyError:
            parent, _, member = name.rpartition(".")
            file = self._pool.FindFileContainingSymbol(parent)
            owner = parent.removeprefix(f"{file.package}.")
            service, message = file.services_by_name.get(owner), file.message_types_by_name.get(owner)
            known = (service and service.methods_by_name) or (message and message.fields_by_name) or {}
            if member not in known:
                raise
            return file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


async def make_server(binder: Binder, services: Sequence[Service], limits: Limits = DEFAULTS) -> grpc.aio.Server:
    """Return a server of these services, with reflection and health. The caller adds its ports and starts it."""
    server = grpc.aio.server(
        options=(*_OPTIONS, ("grpc.max_receive_message_length", min(limits.message_bytes, _MOST_BYTES))),
    )
    server.add_generic_rpc_handlers([binder.bind(service) for service in services])
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = [service.descriptor.full_name for service in services]
    for name in ("", *names):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    symbols: Any = _Symbols()
    shown = (*names, "grpc.health.v1.Health", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(shown, server, pool=symbols)
    return server
