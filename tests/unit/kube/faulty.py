"""An API server that fails as it is told: faults cannot be ordered from a real one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from klever.kube import KubeClient, KubeConfig

__all__ = [
    "GONE",
    "TOO_NEW",
    "FaultyServer",
    "Handler",
    "answer",
    "events",
    "eventually",
    "hang_up",
    "items",
    "named",
    "refuse",
    "silence",
    "slow",
    "text",
    "told",
]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def named(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "resourceVersion": str(version), "managedFields": [{}]}
    return {"apiVersion": "kleveross.io/v1alpha1", "kind": "ModelJob", "metadata": metadata}


def status(code: int, reason: str, message: str = "as told", **details: Any) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    return web.json_response(body, status=code)


GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
TOO_NEW = {
    "kind": "Status",
    "code": 504,
    "reason": "Timeout",
    "message": "Timeout: Too large resource version: 9, current: 5",
    "details": {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]},
}


class FaultyServer:
    """Answers each request by the next handler of `script`; the last one stays. `seen` holds the requests.

    What clients ask before they take up a cut watch again is answered by `reach`, and is not among them.
    """

    def __init__(self, *script: Handler, reach: Handler | None = None) -> None:
        self._script = list(script)
        self._reach = reach or items(1)
        self.seen: list[web.Request] = []
        self.at: list[float] = []
        """When each came."""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.client = await KubeClient.open(KubeConfig(server=self.url))
        return self

    def watches(self) -> list[float]:
        """When each watch began."""
        return [at for request, at in zip(self.seen, self.at, strict=True) if "watch" in request.query]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if "resourceVersionMatch" in request.query:
            return await self._reach(request)
        self.seen.append(request)
        self.at.append(time.monotonic())
        handler = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        return await handler(request)


def answer(body: Any, code: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=code)

    return handler


def text(body: str, code: int = 200, **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, status=code, content_type="text/html", headers=headers)

    return handler


def slow(*, headers: bool) -> Handler:
    """A server of which the headers, or the rest of the body, never come."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if not headers:
            await response.prepare(request)
            await response.write(b'{"metadata":')
        await eventually(lambda: request.transport is None or request.transport.is_closing())
        return response

    return handler


def refuse(code: int, reason: str = "", **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = status(code, reason)
        response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return response

    return handler


def items(version: int, *objects: dict[str, Any]) -> Handler:
    return answer({"metadata": {"resourceVersion": str(version)}, "items": list(objects)})


def events(*told: tuple[str, dict[str, Any]], cut: bytes = b"") -> Handler:
    """A watch that tells this and ends, with `cut` as a half line."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for type_, obj in told:
            await response.write(json.dumps({"type": type_, "object": obj}).encode() + b"\n")
        if cut:
            await response.write(cut)
        return response

    return handler


def hang_up() -> Handler:
    """The server takes the request, and its answer is lost."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return handler


async def told(watch: AsyncGenerator[Any, None], count: int) -> list[Any]:
    """Return the first events of a watch, and end it."""
    async with asyncio.timeout(20), aclosing(watch) as heard:
        return [await anext(heard) for _ in range(count)]


async def eventually(check: Callable[[], object]) -> None:
    while not check():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)


def silence() -> Handler:
    """A watch that tells nothing until its client goes."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await eventually(lambda: request.transport is None or request.transport.is_closing())
        return response

    return handler
