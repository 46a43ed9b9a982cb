"""Watches that resume where a connection was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor

from klever.client.aio.connection import AsyncConnection
from klever.client.stored import to_request
from klever.errors import ExpiredError, UnavailableError
from klever.v1alpha1.common_pb2 import WatchEvent

__all__ = ["AsyncWatch"]

_ATTEMPTS: Final = 8
"""How often in a row a watch connects in vain before it ends, over more than 10 s."""
_LONGEST_PAUSE: Final = 3.0


class AsyncWatch:
    """A watch. `version` is the position from which the next connection resumes; empty: from the beginning."""

    def __init__(self, connection: AsyncConnection, method: MethodDescriptor, fields: Mapping[str, Any]) -> None:
        self.version = ""
        self._connection = connection
        self._method = method
        self._fields = fields
        self._listed = False
        self._failures = -1
        """The vain attempts since the last event; -1 before the first event."""

    async def events(self, version: str = "", deadline: float | None = None) -> AsyncGenerator[Any, None]:
        """Yield the events after `version`, or first the existing objects as ADDED.

        Raises `ExpiredError` if the version is too old, `UnavailableError` if the server does not return, and
        `DeadlineError` at the deadline (of the monotonic clock).
        """
        self.version, self._listed = version, bool(version)
        while True:
            try:
                async with aclosing(self._connected(deadline)) as events:
                    async for event in events:
                        yield event
            except UnavailableError:
                if not 0 <= self._failures < _ATTEMPTS:
                    raise
            self._failures = max(self._failures, 0) + 1
            await asyncio.sleep(min(0.1 * 2**self._failures, _LONGEST_PAUSE))

    async def _connected(self, deadline: float | None) -> AsyncGenerator[Any, None]:
        """Yield the events of one connection."""
        request = to_request(self._method, {**self._fields, "resource_version": self.version, "bookmarks": True})
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        async with aclosing(self._connection.stream(self._method, request, timeout=left)) as events:
            async for event in events:
                if event.type == WatchEvent.ERROR:
                    raise ExpiredError(f"the watch ended: {event.error.message}", reason=event.error.reason)
                self._failures = 0
                self._advance(event)
                if event.type != WatchEvent.BOOKMARK:
                    yield event

    def _advance(self, event: Any) -> None:
        """Advance the position. The existing objects, before the first bookmark, are in no order of versions."""
        self._listed = self._listed or event.type == WatchEvent.BOOKMARK
        if self._listed and event.type != WatchEvent.DELETED:  # whose object has an older version
            self.version = event.object.metadata.resource_version
