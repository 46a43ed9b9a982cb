"""Managers of real processes, and waiting for what becomes of them."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from klever.process import ProcessManager, ProcessState

Ended = Callable[[ProcessManager, str], Awaitable[ProcessState]]


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[ProcessManager]:
    manager = ProcessManager(tmp_path / "processes")
    yield manager
    for state in manager.list():
        await manager.stop(state.spec.id, grace_s=0)


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
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)
