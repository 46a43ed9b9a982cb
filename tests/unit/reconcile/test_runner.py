"""What feeds a controller, and what becomes of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from klever.errors import UnavailableError
from klever.reconcile import runner
from klever.reconcile.runner import Controller, ReconcileMetrics, Result
from klever.store import Key


async def test_a_source_that_fails_now_and_then_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that is cut once a day would be blind for half a minute after some days, else."""
    monkeypatch.setattr(runner, "_LIVED_SECONDS", 0.01)
    seen = asyncio.Event()

    async def reconcile(key: Key) -> Result:
        if key.name == "10":
            seen.set()
        return Result()

    days = itertools.count()

    async def source(add: Callable[[Key], None]) -> None:
        add(Key("day", str(next(days))))
        await asyncio.sleep(0.02)
        raise UnavailableError("cut")

    controller = Controller("test", reconcile, [source], ReconcileMetrics(CollectorRegistry()))
    running = asyncio.create_task(controller.run())
    async with asyncio.timeout(20):  # with pauses that double it took minutes
        await seen.wait()
    running.cancel()
