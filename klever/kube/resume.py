"""A watch that continues where it ended, because servers end every watch, and restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from klever.api.kinds import Kind, Object
from klever.backoff import Backoff
from klever.errors import DeadlineError, ExhaustedError, KleverError, UnavailableError
from klever.kube.client import WATCH_SECONDS, KubeClient

__all__ = ["LIVED_SECONDS", "follow"]

log = logging.getLogger(__name__)

LIVED_SECONDS = 5.0
"""A watch that lasted this long was successful, even without an event."""
_PASSING = (UnavailableError, DeadlineError, ExhaustedError)


class _Pace:
    """Decides how long to wait between two watches, and when to give up."""

    def __init__(self, what: str, server: str, patience: float, level: int) -> None:
        self._what = what
        self._server = server
        self._patience = patience
        self._level = level
        self._backoff = Backoff()
        self._failing_since: float | None = None

    def after(self, lived: float, heard: bool, failure: KleverError | None) -> float:
        """Return the seconds to wait after a watch that lasted `lived` seconds. Raises `UnavailableError`."""
        well = heard or (failure is None and lived > LIVED_SECONDS)
        if well:
            self._backoff.reset()
            self._failing_since = None
        if failure is not None:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if (lasted := now - self._failing_since) > self._patience:
                message = f"the API server {self._server} has not answered for {lasted:.0f} s: {failure}"
                raise UnavailableError(message) from failure
        elif well:
            return 0.0
        delay = self._backoff.next(failure)
        said = failure or "the server ended it immediately"
        log.log(self._level, "watch of %s at %s: %s; next attempt in %.1f s", self._what, self._server, said, delay)
        return delay


async def follow(
    client: KubeClient,
    kind: Kind,
    namespace: str = "",
    *,
    labels: str = "",
    fields: str = "",
    resource_version: str,
    patience: float = float("inf"),
    level: int = logging.DEBUG,
) -> AsyncGenerator[tuple[str, Object], None]:
    """Yield event types and objects after `resource_version`, including bookmarks. Never ends by itself.

    Logs a temporary failure at `level`, and restarts the watch with backoff. Raises `UnavailableError` once that has
    lasted for `patience` seconds, and `ExpiredError` if the version is too old, or newer than the server's data.
    """
    pace = _Pace(kind.resource, client.config.server, patience, level)
    version = resource_version
    cut = False
    while True:
        began, heard = time.monotonic(), False
        failure: KleverError | None = None
        try:
            if cut:
                # A server that was restored from a backup would send nothing until it reaches this version.
                await client.reach(kind, namespace, resource_version=version)
            watch = client.watch(kind, namespace, labels=labels, fields=fields, resource_version=version)
            async with aclosing(watch) as events:
                async for type_, obj in events:
                    heard, version = True, obj["metadata"]["resourceVersion"]
                    yield type_, obj
        except _PASSING as error:
            failure = error
        lived = time.monotonic() - began
        cut = failure is not None or lived < WATCH_SECONDS[0]
        await asyncio.sleep(pace.after(lived, heard, failure))
