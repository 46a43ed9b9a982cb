"""Records Events (core/v1): equal ones are counted, not repeated; recording never fails a reconcile."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from klever.api.kinds import EVENT, Object
from klever.errors import AlreadyExistsError, KleverError
from klever.store import Key, Store
from klever.store.meta import timestamp

__all__ = ["EventRecorder"]

log = logging.getLogger(__name__)

_MAX_MESSAGE = 1024
_MAX_NAME = 253
_DIGITS = 16


class EventRecorder:
    """Writes Events as `component`."""

    def __init__(self, store: Store, component: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._component = component
        self._clock = clock

    async def record(self, obj: Object, type: str, reason: str, message: str) -> None:  # noqa: A002 - the field's name
        """Record that something happened to an object, Normal or Warning; what cannot be recorded is logged."""
        try:
            await self._record(obj, type, reason, message[:_MAX_MESSAGE])
        except KleverError as error:
            log.warning("the event %s of %s was not recorded: %s", reason, obj["metadata"]["name"], error)

    async def _record(self, obj: Object, type_: str, reason: str, message: str) -> None:
        metadata = obj["metadata"]
        identity = f"{metadata['uid']}/{type_}/{reason}/{message}/{self._component}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:_DIGITS]
        # A part of a name may end where no name can: in a dot or dash.
        name = f"{metadata['name'][: _MAX_NAME - _DIGITS - 1].rstrip('.-')}.{digest}"
        now = timestamp(self._clock())
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "reason": reason,
            "message": message,
            "type": type_,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._store.create(EVENT, event)
        except AlreadyExistsError:
            key = Key(metadata["namespace"], name)
            known = await self._store.get(EVENT, key)
            await self._store.patch(EVENT, key, {"lastTimestamp": now, "count": known.get("count", 1) + 1})
