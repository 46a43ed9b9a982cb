"""A watch that goes on where it was cut: servers end every watch, and restart."""

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
"""A watch that lasted so long was a good one, even if it told nothing."""
_PASSING = (UnavailableError, DeadlineError, ExhaustedError)


class _Pace:
    """Says how long to wait between one watch and the next, and when to give up."""

    def __init__(self, what: str, server: str, patience: float, level: int) -> None:
        self._what = what
        self._server = server
        self._patience = patience
        self._level = level
        self._backoff = Backoff()
        self._failing: float | None = None
        """Since when nothing worked."""

    def after(self, lived: float, heard: bool, failure: KleverError | None) -> float:
        """Return the seconds to wait after a watch that lasted `lived` seconds."""
        well = heard or (failure is None and lived > LIVED_SECONDS)
        if well:
            self._backoff.reset()
            self._failing = None
        if failure is not None:
            self._check(failure)
        elif well:
            return 0.0
        delay = self._backoff.next(failure)
        said = failure or "the server ended it at once"
        log.log(self._level, "watch of %s at %s: %s; again in %.1f s", self._what, self._server, said, delay)
        return delay

    def _check(self, failure: KleverError) -> None:
        now = time.monotonic()
        self._failing = now if self._failing is None else self._failing
        lasted = now - self._failing
        if lasted > self._patience:
            message = f"the API server {self._server} does not answer, for {lasted:.0f} s: {failure}"
            raise UnavailableError(message) from failure


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
    """Yield event types and objects after `resource_version`, bookmarks among them; never ends by itself.

    What passes is waited for, each time longer, and logged at `level`; `UnavailableError` once it has lasted for
    `patience` seconds. Raises `ExpiredError` where the version is too old, or newer than all that the server has.
    """
    pace = _Pace(kind.resource, client.config.server, patience, level)
    version = resource_version
    cut = False
    while True:
        began = time.monotonic()
        heard = False
        failure: KleverError | None = None
        try:
            if cut:
                # A server that comes back may be one restored from a backup: it would tell nothing until it gets there.
                await client.reach(kind, namespace, resource_version=version)
            watch = client.watch(kind, namespace, labels=labels, fields=fields, resource_version=version)
            async with aclosing(watch) as events:
                async for type_, obj in events:
                    heard = True
                    version = obj["metadata"]["resourceVersion"]
                    yield type_, obj
        except _PASSING as error:
            failure = error
        lived = time.monotonic() - began
        cut = failure is not None or lived < WATCH_SECONDS[0]
        await asyncio.sleep(pace.after(lived, heard, failure))
