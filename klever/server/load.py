"""Limits the total load of the calls: turns for expensive reads, and memory for large answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from klever.auth import ANONYMOUS, Caller
from klever.budget import SMALL, Budget
from klever.limits import Limits
from klever.server.auth import Action
from klever.server.calls import Context

__all__ = ["Load", "Turns"]

_READ_S: Final = 60.0
"""The time in which a caller must read a large message of a stream, in seconds."""
_LONGEST_REST_S: Final = 1.0


class Turns:
    """Turns of the anonymous callers, so that expensive reads leave half of the event loop to other calls.

    Lists read their cache without a pause, so a turn lasts for some time after a read.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.anonymous_lists
        self._turns = asyncio.Semaphore(self._most)

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn, if the caller with this name has to."""
        if caller != ANONYMOUS.name:
            yield
            return
        await self._turns.acquire()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            rest = 2 * self._most * (loop.time() - began)
            loop.call_later(min(rest, _LONGEST_REST_S), self._turns.release)


class Load:
    """Anonymous callers wait for turns and share three quarters of the memory, so that others need not wait."""

    def __init__(self, limits: Limits) -> None:
        self._turns = Turns(limits)
        self._unread = Budget(
            max(limits.unread_bytes, 2 * limits.response_bytes), "the answers that callers have not read yet"
        )

    @asynccontextmanager
    async def turn(self, action: Action, caller: Caller) -> AsyncIterator[None]:
        """Wait for a turn if the call is expensive."""
        if action.reads_much:
            async with self._turns.turn(caller.name):
                yield
        else:
            yield

    def keep(self, response: bytes, caller: Caller, context: Context) -> None:
        """Reserve memory for an answer until its caller has read it. Raise `ExhaustedError` if none is left."""
        if len(response) > SMALL:
            give_back = self._unread.take(len(response), anonymous=caller == ANONYMOUS)
            context.add_done_callback(lambda _: give_back())

    async def write(self, message: bytes, caller: Caller, context: Context) -> None:
        """Send a message of a stream.

        Raise `ExhaustedError` if no memory is left, `TimeoutError` if the caller reads too slowly.
        """
        if len(message) <= SMALL:
            await context.write(message)
            return
        with self._unread.held(anonymous=caller == ANONYMOUS) as take:
            take(len(message))
            async with asyncio.timeout(_READ_S):
                await context.write(message)
