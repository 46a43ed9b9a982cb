"""Envoy's administration interface, over its Unix socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from klever.errors import InvalidError, UnavailableError

__all__ = ["ANSWER_SECONDS", "Admin"]

ANSWER_SECONDS = 5.0
"""How long a call waits for Envoy's answer."""
_TIMEOUT = aiohttp.ClientTimeout(total=ANSWER_SECONDS)


class Admin:
    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def get(self, path: str) -> str:
        """Return a page. Raises `UnavailableError` if Envoy does not answer."""
        return await self._ask("GET", path)

    async def drain_listeners(self) -> None:
        """Stop Envoy from accepting connections. Requests in progress continue."""
        await self._ask("POST", "/drain_listeners")

    async def _ask(self, method: str, path: str) -> str:
        try:
            connector = aiohttp.UnixConnector(str(self._socket))
            async with (
                aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
                session.request(method, f"http://envoy{path}") as response,
            ):
                text = await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(f"the gateway (Envoy) does not answer: {error}") from error
        if response.status != 200:
            raise UnavailableError(f"the gateway (Envoy) answered {response.status} to {path}: {text.strip()[:500]}")
        return text

    async def ready(self) -> bool:
        try:
            return (await self.get("/ready")).strip() == "LIVE"
        except UnavailableError:
            return False

    async def stats(self, pattern: str) -> dict[str, str]:
        """Return the statistics whose names match a regular expression."""
        text = await self.get(f"/stats?filter={pattern}")
        pairs = (line.rpartition(": ") for line in text.splitlines())
        return {name: value.strip('"') for name, _, value in pairs}

    async def rejections(self, subscription: str) -> int:
        """Return how often Envoy has rejected an update of a subscription."""
        name = f"{subscription}.update_rejected"
        return int((await self.stats(_exactly(name))).get(name, "0"))

    async def wait_for(self, subscription: str, version: str, rejections: int, timeout: float) -> None:
        """Return when a subscription has a given version.

        Raises `InvalidError` if Envoy rejects it (it then counts more than `rejections`), `UnavailableError` if Envoy
        does not apply it in time.
        """
        name = f"{subscription}.version_text"
        try:
            async with asyncio.timeout(timeout):
                while (await self.stats(_exactly(name))).get(name) != version:
                    if await self.rejections(subscription) > rejections:
                        raise InvalidError(f"the gateway rejected the change of {subscription}")
                    await asyncio.sleep(0.003)
        except TimeoutError as error:
            raise UnavailableError(f"the gateway did not apply the change within {timeout:g} s ({name})") from error


def _exactly(name: str) -> str:
    return "^" + name.replace(".", "%5C.") + "$"
