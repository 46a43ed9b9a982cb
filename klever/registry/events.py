"""Events of the registry for a listener. They never delay or fail the request that caused them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from klever.oci.digest import Digest

__all__ = ["DeleteEvent", "Event", "Listener", "Notifier", "PushEvent"]

_QUEUE: Final = 10_000
_DEADLINE: Final = 30.0  # seconds that one call of the listener may take
_PAUSES: Final = (0.1, 0.5, 2.0, 5.0)  # seconds before each retry

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PushEvent:
    """A pushed manifest that is durable, like Harbor's PUSH_ARTIFACT.

    `tag` is empty for a push by digest, `config_media_type` for an index. `size` is that of the manifest and the
    content that it lists, in bytes. `actor` is the user name, empty with a bearer token.
    """

    repository: str
    tag: str
    digest: Digest
    media_type: str
    config_media_type: str
    size: int
    actor: str


@dataclass(frozen=True, slots=True)
class DeleteEvent:
    """A deleted tag or, with an empty `tag`, a deleted manifest with all its tags."""

    repository: str
    tag: str
    digest: Digest
    actor: str


Event = PushEvent | DeleteEvent
Listener = Callable[[Event], Awaitable[None]]
"""Receives each event at least once while the process lives. If it raises, it receives the event again."""


class Notifier:
    """Delivers events to the listener, one after the other.

    An event is lost, and logged, if 10,000 are waiting or five attempts failed. A listener that must not miss any event
    compares its state with the registry at its start and regularly.
    """

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._events: asyncio.Queue[Event] = asyncio.Queue(_QUEUE)
        self._task = asyncio.create_task(self._run(listener), name="registry-notifier") if listener else None

    def publish(self, event: Event) -> None:
        """Queue `event` and return at once."""
        if self._listener is None:
            return
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            _log.warning("too many registry events are waiting: lost %s", event)

    async def close(self, *, timeout: float = 5.0) -> None:
        """Deliver the queued events within `timeout` seconds, and stop."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._events.join(), timeout)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self, listener: Listener) -> None:
        while True:
            event = await self._events.get()
            await _tell(listener, event)
            self._events.task_done()


async def _tell(listener: Listener, event: Event) -> None:
    for pause in (*_PAUSES, None):
        try:
            async with asyncio.timeout(_DEADLINE):
                return await listener(event)
        except Exception:  # noqa: BLE001  # whatever the listener does, the next events go on
            _log.exception("the registry's listener failed on %s", event)
        if pause is not None:
            await asyncio.sleep(pause)
    _log.error("lost registry event %s", event)
    return None
