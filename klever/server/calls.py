"""Records each RPC: a request id for its caller, a log line, and metrics."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor
from prometheus_client import CollectorRegistry, Counter, Histogram

from klever.auth import ANONYMOUS
from klever.server.auth import is_read
from klever.server.errors import shortened

__all__ = ["CALLER", "REQUEST_ID", "Call", "Context", "RpcMetrics"]

log = logging.getLogger(__name__)

CALLER: Final = ContextVar("caller", default="")
"""The name of the authenticated caller of the current RPC."""

Context = Any
"""grpc.aio.ServicerContext. Its type stubs are incomplete."""

REQUEST_ID: Final = "x-request-id"
"""The metadata key of a call's id. The gateway, the caller or this module sets it, and the answer repeats it."""

_GIVEN_ID: Final = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
_numbers: Final = random.Random()  # noqa: S311 - ids of calls are not secrets
"""Seeded by the system once, because a system call for each id is slower."""
_FAULTS: Final = {
    grpc.StatusCode.INTERNAL: logging.ERROR,
    grpc.StatusCode.DATA_LOSS: logging.ERROR,
    grpc.StatusCode.UNAVAILABLE: logging.WARNING,
    grpc.StatusCode.DEADLINE_EXCEEDED: logging.WARNING,
    grpc.StatusCode.RESOURCE_EXHAUSTED: logging.WARNING,
    grpc.StatusCode.CANCELLED: logging.DEBUG,
}
"""The log levels of codes that are not the caller's fault."""


class RpcMetrics:
    """Counts and latencies by method and code. Streams have no latency, because their readers decide how long they
    last."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["service", "method", "code"]
        self._total = Counter("klever_rpc", "RPCs that have ended", labels, registry=registry)
        self._seconds = Histogram("klever_rpc_seconds", "Time of a unary RPC", labels, registry=registry)
        self._known: dict[tuple[MethodDescriptor, grpc.StatusCode], tuple[Counter, Histogram | None]] = {}
        """The metrics by method and code, because finding a metric by its labels is slower than counting."""

    def ended(self, call: Call, code: grpc.StatusCode) -> None:
        known = self._known.get((call.method, code))
        if known is None:
            labels = (call.method.containing_service.name, call.method.name, code.name)
            seconds = None if call.method.server_streaming else self._seconds.labels(*labels)
            known = self._known[call.method, code] = (self._total.labels(*labels), seconds)
        total, seconds = known
        total.inc()
        if seconds is not None:
            seconds.observe(call.seconds)


class Call:
    """One RPC, from start to end."""

    __slots__ = ("_context", "_started", "about", "id", "metadata", "method", "user")

    def __init__(self, method: MethodDescriptor, context: Context) -> None:
        self._context = context
        self._started = time.perf_counter()
        self.method = method
        self.metadata: dict[str, str | bytes] = dict(context.invocation_metadata() or ())
        self.user = ANONYMOUS.name
        self.about: Callable[[], str] = str
        """Returns the object that the call is about; empty until its request has been read."""
        given = str(self.metadata.get(REQUEST_ID, ""))
        self.id = given if _GIVEN_ID.fullmatch(given) else f"{_numbers.getrandbits(128):032x}"
        context.set_trailing_metadata(((REQUEST_ID, self.id),))

    @property
    def seconds(self) -> float:
        """The seconds since the call began."""
        return time.perf_counter() - self._started

    def log(self, code: grpc.StatusCode, error: Exception | None = None) -> None:
        """Write the log line without the request, at INFO or above if the call writes or fails, else at DEBUG."""
        ok = logging.DEBUG if is_read(self.method.name) else logging.INFO
        level = ok if code is grpc.StatusCode.OK else _FAULTS.get(code, logging.INFO)
        if not log.isEnabledFor(level):
            return
        fields = {
            "method": f"{self.method.containing_service.name}/{self.method.name}",
            "object": self.about(),
            "code": code.name,
            "ms": round(self.seconds * 1000, 3),
            "user": self.user,
            "peer": self._peer(),
            "request_id": self.id,
        }
        if error is not None:
            fields["error"] = shortened(str(error))
        unexpected = error if code is grpc.StatusCode.INTERNAL else None
        log.log(level, "rpc", exc_info=unexpected, extra=fields)
        self.about = str  # it holds the request

    def _peer(self) -> str:
        """Return the caller's address. The gateway, which uses the Unix socket, passes it in a header."""
        peer = str(self._context.peer())
        if not peer.startswith("unix:"):
            return peer
        return str(self.metadata.get("x-forwarded-for", peer)).rpartition(",")[2].strip()
