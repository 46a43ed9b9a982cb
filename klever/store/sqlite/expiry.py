"""Drops Events an hour after they were last seen, as kube-apiserver does (--event-ttl)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from klever.api.kinds import EVENT
from klever.api.text import parse_time
from klever.errors import ConflictError, KleverError, NotFoundError
from klever.store import Key
from klever.store.sqlite.encoding import decode
from klever.store.sqlite.engine import Engine
from klever.store.sqlite.gc import Remover

__all__ = ["expire_events"]

log = logging.getLogger(__name__)

_LIFE = timedelta(hours=1)
_SWEEP_SECONDS = 60.0
_CHUNK = 500


async def expire_events(engine: Engine, remover: Remover, clock: Callable[[], datetime]) -> None:
    """Sweep until cancelled, at once and then every minute."""
    while True:
        try:
            await _sweep(engine, remover, clock() - _LIFE)
        except KleverError as error:
            log.warning("failed to drop old Events, will retry: %s", error)
        await asyncio.sleep(_SWEEP_SECONDS)


async def _sweep(engine: Engine, remover: Remover, before: datetime) -> None:
    for number, row in enumerate(engine.tables[EVENT].snapshot(), 1):
        event = decode(row.data)
        if _last_seen(event.get("lastTimestamp"), event["metadata"]["creationTimestamp"]) < before:
            version = {"resourceVersion": event["metadata"]["resourceVersion"]}
            try:
                await remover.delete(EVENT, Key(row.namespace, row.name), version)
            except (NotFoundError, ConflictError):
                log.debug("Event %s/%s was dropped or updated meanwhile", row.namespace, row.name)
        if number % _CHUNK == 0:
            await asyncio.sleep(0)


def _last_seen(last: object, created: str) -> datetime:
    """Return when an Event was last seen. Its writer may have left an invalid time, which counts as absent."""
    try:
        return parse_time(str(last or created))
    except (ValueError, OverflowError):
        return parse_time(created)
