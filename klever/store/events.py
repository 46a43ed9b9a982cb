"""Records Events (core/v1). Equal Events are counted, not repeated. Recording never fails a reconcile."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from klever.api.kinds import EVENT, Object
from klever.api.text import format_time
from klever.errors import KleverError, NotFoundError
from klever.store import Key, Store

__all__ = ["EventRecorder"]

log = logging.getLogger(__name__)

_MAX_MESSAGE = 1024
_MAX_NAME = 253
_DIGITS = 16

_What = tuple[str, str, str, str]
"""The object's uid; type, reason and message."""


class EventRecorder:
    """Writes Events as `component`. As in client-go, it reads none: it remembers the counts itself.

    It remembers the last `remembered` Events. Any other Event, such as one from before a restart, is recorded anew.
    """

    def __init__(
        self,
        store: Store,
        component: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        remembered: int = 4096,
    ) -> None:
        self._store = store
        self._component = component
        self._clock = clock
        self._remembered = remembered
        self._told: OrderedDict[_What, tuple[Key, int]] = OrderedDict()
        """The key and count of each Event; the latest is last."""

    async def record(self, obj: Object, type: str, reason: str, message: str) -> None:  # noqa: A002 - the field's name
        """Record that something happened to an object, Normal or Warning. A failure to record is logged."""
        try:
            await self._record(obj, (obj["metadata"]["uid"], type, reason, message[:_MAX_MESSAGE]))
        except KleverError as error:
            about = obj["metadata"]
            what = f"{obj.get('kind', 'object')} {about.get('namespace', '')}/{about['name']}"
            log.warning("the event %s of %s was not recorded: %s", reason, what, error)

    async def _record(self, obj: Object, what: _What) -> None:
        now = self._clock()
        key, count = self._told.get(what) or (None, 0)
        if key is not None:
            try:
                await self._store.patch(EVENT, key, {"lastTimestamp": format_time(now), "count": count + 1})
            except NotFoundError:  # it has expired
                key, count = None, 0
        if key is None:
            key = await self._create(obj, what, now)
        self._told[what] = key, count + 1
        self._told.move_to_end(what)
        if len(self._told) > self._remembered:
            self._told.popitem(last=False)

    async def _create(self, obj: Object, what: _What, now: datetime) -> Key:
        metadata = obj["metadata"]
        _, type_, reason, message = what
        key = Key(metadata["namespace"], _name(metadata["name"], f"{what}{self._component}{now.isoformat()}"))
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": key.name, "namespace": key.namespace},
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
            "firstTimestamp": format_time(now),
            "lastTimestamp": format_time(now),
            "count": 1,
        }
        await self._store.create(EVENT, event)
        return key


def _name(of: str, identity: str) -> str:
    """Return the name of an Event about the object named `of`."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:_DIGITS]
    # A truncated name can end in a dot or a dash, which is invalid.
    return f"{of[: _MAX_NAME - _DIGITS - 1].rstrip('.-')}.{digest}"
