"""Restarts a process of the gateway that hangs. Its shim restarts one that ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from klever.errors import KleverError
from klever.routers.envoy.admin import ANSWER_SECONDS

__all__ = ["restart_when_silent"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_SILENT_LOOKS = 3
_LATE_SECONDS = 1.0


async def restart_when_silent(
    name: str, answers: Callable[[], Awaitable[bool]], restart: Callable[[], Awaitable[None]]
) -> None:
    """Restart a process whenever it fails to answer several times in a row, until cancelled.

    `answers` returns False after at most `ANSWER_SECONDS`.
    """
    silent = 0
    while True:
        began = time.monotonic()
        await asyncio.sleep(_LOOK_SECONDS)
        heard = await answers()
        if time.monotonic() - began > _LOOK_SECONDS + ANSWER_SECONDS + _LATE_SECONDS:
            continue  # this process was late itself, so the timeout says nothing about the other one
        silent = 0 if heard else silent + 1
        if silent < _SILENT_LOOKS:
            continue
        log.warning("%s does not answer: restarting it", name)
        try:
            await restart()
        except KleverError as error:
            log.warning("cannot restart %s: %s", name, error)
        silent = 0
