"""The registry on a socket, with its maintenance."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from klever.errors import FailedPreconditionError, KleverError
from klever.registry.memory import release_after_bursts
from klever.registry.registry import Registry

__all__ = ["RegistryServer"]

_READ_BUFFER: Final = 256 << 10
_DAY: Final = 24 * 3600.0
_UPLOAD_AGE: Final = _DAY

_log = logging.getLogger(__name__)


class RegistryServer:
    """Serves `app`. Every `upkeep` seconds it ends stale uploads and collects unused blobs of `registry`.

    Every `scrub` seconds, across restarts, it reads everything and stops serving damaged content.
    """

    def __init__(
        self, registry: Registry, app: web.Application, *, upkeep: float = 3600.0, scrub: float = _DAY
    ) -> None:
        self._registry = registry
        self._app = app
        self._upkeep = upkeep
        self._scrub = scrub
        self._drain = 0.0
        self._stopping = False
        self._running = 0
        self._idle = asyncio.Event()
        app.middlewares.append(self._count)
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, listen: Path | tuple[str, int], *, drain: float = 30.0) -> str:
        """Listen on a Unix socket or on (host, port), port 0 being any free one. Return the path or `host:port`.

        `drain` is the number of seconds that `stop` waits for requests: half to receive them, half to answer them.
        Raises `FailedPreconditionError` if the address is in use.
        """
        self._drain = drain / 2
        self._runner = web.AppRunner(
            self._app, access_log=None, handle_signals=False, shutdown_timeout=self._drain, read_bufsize=_READ_BUFFER
        )
        await self._runner.setup()
        site: web.BaseSite
        if isinstance(listen, Path):
            await asyncio.to_thread(listen.unlink, missing_ok=True)  # left by a killed server
            site = web.UnixSite(self._runner, str(listen))
        else:
            site = web.TCPSite(self._runner, *listen)
        try:
            await site.start()
            if isinstance(listen, Path):
                # Tasks run as another user. The directory's permissions control access to the socket.
                await asyncio.to_thread(listen.chmod, 0o666)
        except OSError as error:
            await self._runner.cleanup()
            raise FailedPreconditionError(
                f"the registry cannot listen on {listen}: {error.strerror or error}"
            ) from error
        self._tasks = [
            asyncio.create_task(self._maintain(), name="registry-upkeep"),
            asyncio.create_task(release_after_bursts(), name="registry-memory"),
        ]
        if isinstance(listen, Path):
            return str(listen)
        host, port = self._runner.addresses[0][:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Accept no more connections, wait for running requests, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            for site in self._runner.sites:
                await site.stop()
            await self._wait_until_idle()
            await self._runner.cleanup()

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._running += 1
        self._idle.clear()
        try:
            response = await handler(request)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        if self._stopping:
            response.force_close()  # so that the client sends no further request
        return response

    async def _wait_until_idle(self) -> None:
        """Wait for running requests, because aiohttp's cleanup drops incoming data: an upload would never end."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain):
                while self._running:
                    await self._idle.wait()

    async def _maintain(self) -> None:
        while True:
            try:
                expired = await self._registry.blobs.uploads.expire(_UPLOAD_AGE)
                collected = await self._registry.blobs.collect()
                _log.info(
                    "registry maintenance removed %d stale uploads and %d unused blobs (%d bytes)",
                    expired,
                    collected.blobs,
                    collected.bytes,
                )
                if time.time() - self._registry.scrubbed_at() >= self._scrub:
                    _log.info("registry scrubbed: %d damaged", len(await self._registry.scrub()))
            except KleverError:
                _log.exception("registry maintenance failed, will retry in %.0f s", self._upkeep)
            await asyncio.sleep(self._upkeep)
