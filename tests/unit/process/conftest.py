"""Waiting for what becomes of processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from klever.process import ProcessManager, ProcessState
from tests.unit.conftest import MakeDisk

Ended = Callable[[ProcessManager, str], Awaitable[ProcessState]]


@pytest.fixture
def ended() -> Ended:
    """`await ended(manager, id)` waits for the end of a process and returns its last state."""

    async def wait(manager: ProcessManager, process_id: str) -> ProcessState:
        async with asyncio.timeout(20):
            async for changed in manager.watch():
                state = manager.get(changed)
                if changed == process_id and state and state.phase == "Exited":
                    return state
        raise AssertionError("a watch does not end")

    return wait


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """`await eventually(condition)` for states that nothing announces."""

    def wait(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.01)

    return lambda condition: asyncio.to_thread(wait, condition)


@pytest.fixture
def small_disk(make_disk: MakeDisk) -> Path:
    return make_disk("128k")
