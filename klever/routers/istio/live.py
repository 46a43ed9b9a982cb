"""Asks the gateway which version of a route is live. Istio tells nobody when a gateway has applied a change."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

import aiohttp

from klever.errors import UnavailableError
from klever.routers import RouteKey
from klever.routers.istio.settings import IstioSettings
from klever.routers.istio.virtual_service import version_path

__all__ = ["GatewayProbe"]

_TIMES: Final = 4
"""How often in a row, each time over a new connection, which another thread or pod of the gateway may answer."""
_PAUSE_S: Final = 0.03
_ANSWER_S: Final = 2.0
_MAX_BYTES: Final = 256
_REFUSED_BY_GUARD: Final = 400


class GatewayProbe:
    def __init__(self, settings: IstioSettings) -> None:
        self._settings = settings
        self._url = (settings.probe or settings.url).rstrip("/")
        host = settings.hosts[0]
        self._headers = {} if "*" in host else {"Host": host}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(force_close=True, limit=64)
        timeout = aiohttp.ClientTimeout(_ANSWER_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def until_live(self, key: RouteKey, version: str, *, guarded: bool) -> None:
        """Return when the gateway answers with the version, and checks requests if the route is `guarded`.

        An empty version stands for no route. Raises `UnavailableError` if the gateway does not apply it in time.
        """
        told = ""
        try:
            async with asyncio.timeout(self._settings.live_s):
                seen = 0
                while seen < _TIMES:
                    told = await self._ask(key, version, guarded=guarded)
                    seen = 0 if told else seen + 1
                    if told:
                        await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            limit = f"within {self._settings.live_s:g} s"
            raise UnavailableError(
                f"the gateway at {self._url} has not applied the route of {key} {limit}: {told}"
            ) from error

    async def _ask(self, key: RouteKey, version: str, *, guarded: bool) -> str:
        """Return why the version is not live; empty if it is."""
        url = self._url + version_path(key)
        try:
            async with self._session.get(url) as response:
                text = (await response.content.read(_MAX_BYTES)).decode(errors="replace")
                live = text if response.status == 200 else ""
                if live != version or (not version and response.status != 404):
                    return f"it answers {response.status} {text!r}"
            if guarded:
                return await self._check_guard(url)
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"it does not answer: {str(error) or type(error).__name__}"
        return ""

    async def _check_guard(self, url: str) -> str:
        """Return why the guard does not work: it refuses all compressed requests."""
        async with self._session.get(url, headers={"Content-Encoding": "gzip"}) as response:
            if response.status == _REFUSED_BY_GUARD:
                return ""
            return "the EnvoyFilter klever-guard, which protects Triton, has no effect on it"
