"""Batches changes of routes that wait for a running change, because one costs as much as all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from klever.errors import InvalidError
from klever.routers import Route, RouteKey

__all__ = ["Change", "RouteChanges"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A change of a route to `after`; None removes it."""

    key: RouteKey
    after: Route | None
    live: asyncio.Future[None]


class RouteChanges:
    """Passes all waiting changes to `apply` at once or, if that raises `InvalidError`, one at a time."""

    def __init__(self, apply: Callable[[Sequence[Change]], Awaitable[None]]) -> None:
        self._apply = apply
        self._waiting: list[Change] = []
        self._work: asyncio.Task[None] | None = None

    async def make(self, key: RouteKey, after: Route | None) -> None:
        """Return when the change is live. Raises the errors of `apply`.

        A cancelled change may still be made, because a running change is never interrupted.
        """
        change = Change(key, after, asyncio.get_running_loop().create_future())
        self._waiting.append(change)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run(), name="gateway changes")
        await change.live

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await self._together(batch)

    async def _together(self, batch: Sequence[Change]) -> None:
        error: Exception | None = None
        try:
            await self._apply(batch)
        except InvalidError as refused:
            if len(batch) > 1:
                for change in batch:
                    await self._together((change,))
                return
            error = refused
        except Exception as failed:  # noqa: BLE001 - callers that wait get it, or it is logged
            error = failed
        for change in batch:
            if change.live.done():  # cancelled
                if error is not None:
                    log.warning("failed to change the route of %s: %s", change.key, error)
            elif error is None:
                change.live.set_result(None)
            else:
                change.live.set_exception(error)
