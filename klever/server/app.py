"""The gRPC server: services, reflection and health."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from klever.limits import DEFAULTS, Limits
from klever.server.binding import Binder
from klever.server.reflecting import REFLECTION, Reflection
from klever.server.services import Service

__all__ = ["make_server"]

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # gRPC decompresses a message before the server authenticates its sender, and checks the size afterwards: 300 kB
    # become 300 MB. If the algorithms were disabled instead, gRPC would log a line for each such message.
    ("grpc.per_message_decompression", 0),
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 60_000),
    ("grpc.max_concurrent_streams", 1000),
)

_MOST_BYTES = (1 << 31) - 1
"""gRPC counts the bytes of a message in 32 bits."""


async def make_server(binder: Binder, services: Sequence[Service], limits: Limits = DEFAULTS) -> grpc.aio.Server:
    """Return a server of these services, with reflection and health checks. The caller adds ports and starts it."""
    server = grpc.aio.server(
        options=(*_OPTIONS, ("grpc.max_receive_message_length", min(limits.message_bytes, _MOST_BYTES))),
    )
    server.add_generic_rpc_handlers([binder.bind(service) for service in services])
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = [service.descriptor.full_name for service in services]
    for name in ("", *names):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection = Reflection((*names, "grpc.health.v1.Health", *REFLECTION))
    server.add_generic_rpc_handlers(reflection.handlers())
    return server
