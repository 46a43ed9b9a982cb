"""A slow API server: a real one, behind a proxy that holds each call back."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from aiohttp import ClientSession, TCPConnector, web
from yarl import URL

__all__ = ["SlowServer"]

_START_SECONDS = 10.0


class SlowServer:
    """A proxy that delays each call to the API server of `kubeconfig` by `seconds`. `self.kubeconfig` names the proxy.

    Its certificates are files. The proxy speaks plain HTTP on loopback, and callers act as the user of `kubeconfig`.
    """

    def __init__(self, kubeconfig: Path, root: Path, seconds: float) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        self._cluster: dict[str, str] = document["clusters"][0]["cluster"]
        self._user: dict[str, str] = document["users"][0]["user"]
        self._seconds = seconds
        self.kubeconfig = root / "slow-kubeconfig"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(_START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        trusted = ssl.create_default_context(cafile=self._cluster["certificate-authority"])
        trusted.load_cert_chain(self._user["client-certificate"], self._user["client-key"])
        async with ClientSession(connector=TCPConnector(ssl=trusted, limit=0), auto_decompress=False) as self._session:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self._forward)
            runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._write_kubeconfig(f"http://127.0.0.1:{runner.addresses[0][1]}")
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()

    def _write_kubeconfig(self, url: str) -> None:
        document: dict[str, Any] = {
            "current-context": "slow",
            "clusters": [{"name": "slow", "cluster": {"server": url}}],
            "contexts": [{"name": "slow", "context": {"cluster": "slow"}}],
        }
        self.kubeconfig.write_text(json.dumps(document))

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        await asyncio.sleep(self._seconds)
        url = URL(self._cluster["server"] + request.raw_path, encoded=True)
        headers = {name: value for name, value in request.headers.items() if name in {"Accept", "Content-Type"}}
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]}
            )
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response
