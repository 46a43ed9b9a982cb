"""Serves the metrics of the platform, the gateway and each replica for Prometheus, on a loopback port of their own.

Metrics of the gateway and the replicas have the labels namespace, serving, predictor and workload.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from klever.api.kinds import KINDS
from klever.backends import Backend, Instance, ServingKey
from klever.errors import FailedPreconditionError, KleverError
from klever.runtimes import unix_path
from klever.server.exposition import Exposition
from klever.store import Store

__all__ = ["MetricsServer"]

log = logging.getLogger(__name__)

_SECONDS: Final = 2.0
_MAX_BYTES: Final = 16 << 20

Text = Callable[[], Awaitable[str]]


class MetricsServer:
    """Answers GET /metrics. If a part does not answer in time, its metrics are missing, and the log names it."""

    def __init__(self, own: CollectorRegistry, gateway: Text, backend: Backend, store: Store) -> None:
        self._own = own
        self._gateway = gateway
        self._backend = backend
        self._store = store
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> str:
        """Listen on loopback, on a free port if `port` is 0. Return the URL. Raise `FailedPreconditionError` if
        taken."""
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        except OSError as error:
            await self.stop()
            raise FailedPreconditionError(
                f"cannot serve metrics on 127.0.0.1:{port}: {error.strerror}; choose another --metrics-port"
            ) from error
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/metrics"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        texts = [text async for text in self._texts()]
        body = await asyncio.to_thread(self._joined, [(await self._phases(), {}), *texts])
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    def _joined(self, texts: list[tuple[str, Mapping[str, str]]]) -> bytes:
        exposition = Exposition()
        exposition.add(generate_latest(self._own).decode(), {})
        for text, labels in texts:
            try:
                exposition.add(text, labels)
            except ValueError as error:
                log.warning("cannot read the metrics of %s: %s", labels or "the gateway", error)
        return str(exposition).encode()

    async def _texts(self) -> AsyncIterator[tuple[str, Mapping[str, str]]]:
        try:
            yield await self._gateway(), {}
        except KleverError as error:
            log.warning("cannot read the metrics of the gateway: %s", error)
        asked = [
            (instance, _labels(key, instance))
            for key in await self._backend.list()
            for instance in await self._backend.observe(key)
            if instance.metrics
        ]
        answers = await asyncio.gather(*map(_replica, (instance for instance, _ in asked)))
        for (_, labels), text in zip(asked, answers, strict=True):
            if text:
                yield text, labels

    async def _phases(self) -> str:
        registry = CollectorRegistry()
        for kind in filter(lambda kind: kind.has_phase, KINDS):
            gauge = Gauge(f"klever_{kind.plural}", f"{kind.kind}s by phase", ["phase"], registry=registry)
            page = await self._store.list(kind)
            for obj in page.items:
                gauge.labels(str(obj.get("status", {}).get("phase") or "Pending")).inc()
        return generate_latest(registry).decode()


async def _replica(instance: Instance) -> str:
    """Return the metrics of a replica, or "" if it does not answer. Its condition then names the fault."""
    address = instance.metrics
    path = unix_path(address)
    connector = aiohttp.UnixConnector(path) if path else aiohttp.TCPConnector()
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"http://{'localhost' if path else address}/metrics") as response,
        ):
            content = await response.content.read(_MAX_BYTES)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        log.info("replica %s has no metrics at %s: %s", instance.name, address, error)
        return ""
    return content.decode(errors="replace") if response.status == 200 else ""


def _labels(key: ServingKey, instance: Instance) -> dict[str, str]:
    return {
        "namespace": key.namespace,
        "serving": key.name,
        "predictor": instance.predictor,
        "workload": instance.workload,
        "instance_name": instance.name,
    }
