"""What was acknowledged is there after kill -9 and after a power loss."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import pytest

from klever.api.kinds import MODEL_JOB, NAMESPACE
from klever.errors import AlreadyExistsError
from klever.store import Key
from klever.store.sqlite import SqliteStore, schema, writer
from klever.store.validation import SchemaAdmission
from tests.contract.store import job
from tests.unit.disk import attached, cut_power, is_deleted, lost

pytestmark = pytest.mark.slow

KILLS = 30
POWER_LOSSES = 60
WRITERS = 8


async def write(store: SqliteStore, prefix: str, acknowledge: Callable[[str], None]) -> None:
    """Create without end, and delete every third; `+NAME` and `-NAME` are acknowledged."""
    for number in count():
        name = f"{prefix}-{number}"
        await store.create(MODEL_JOB, job("n", name))
        acknowledge(f"+{name}")
        if is_deleted(name):
            await store.delete(MODEL_JOB, Key("n", name))
            acknowledge(f"-{name}")


async def write_with_many(path: Path, prefix: str, acknowledge: Callable[[str], None]) -> None:
    store = await SqliteStore.open(path, SchemaAdmission())
    with suppress(AlreadyExistsError):  # it is there since the first run
        await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    try:
        await asyncio.gather(*(write(store, f"{prefix}-{worker}", acknowledge) for worker in range(WRITERS)))
    finally:
        await store.close()


async def lost_in(path: Path, acknowledged: set[str]) -> set[str]:
    """Return the acknowledged writes that a new store does not find."""
    store = await SqliteStore.open(path, SchemaAdmission())
    there = {obj["metadata"]["name"] for obj in (await store.list(MODEL_JOB)).items}
    await store.close()
    return lost(acknowledged, there)


# kill -9


def write_to_pipe(path: Path, prefix: str, pipe: Connection) -> None:
    asyncio.run(write_with_many(path, prefix, pipe.send))


def write_until_killed(path: Path, prefix: str, writes: int) -> set[str]:
    """Have a process write, kill it in the midst, and return what it acknowledged."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=write_to_pipe, args=(path, prefix, its))
    process.start()
    its.close()
    acknowledged = {ours.recv() for _ in range(writes)}
    process.kill()
    try:
        while True:
            acknowledged.add(ours.recv())
    except (EOFError, OSError):
        process.join()
    ours.close()
    return acknowledged


async def test_no_acknowledged_write_is_lost_to_a_kill(tmp_path: Path) -> None:
    path, random = tmp_path / "klever.db", Random(1)
    acknowledged: set[str] = set()
    for number in range(KILLS):
        acknowledged |= await asyncio.to_thread(write_until_killed, path, f"j-{number}", random.randrange(1, 200))
        assert not await lost_in(path, acknowledged)


# Power loss


async def lost_to_power_losses(path: Path, losses: int) -> tuple[int, int]:
    """Return how many acknowledged writes were lost over all power losses, and how many there were."""
    total = gone = 0
    for disk, acknowledged in await cut_power(partial(write_with_many, path, "j"), losses, Random(1)):
        with attached(disk):
            gone += len(await lost_in(path, acknowledged))
        total += len(acknowledged)
    return gone, total


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make checkpoints frequent, to lose power in them too."""
    monkeypatch.setattr(writer, "LIMIT_PAGES", 100)


@pytest.mark.usefixtures("small_log")
async def test_no_acknowledged_write_is_lost_to_a_power_loss(tmp_path: Path) -> None:
    gone, total = await lost_to_power_losses(tmp_path / "klever.db", POWER_LOSSES)
    assert gone == 0
    assert total > 1000


@pytest.mark.usefixtures("small_log")
async def test_a_power_loss_would_show_what_is_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SYNCHRONOUS", "NORMAL")
    gone, _ = await lost_to_power_losses(tmp_path / "klever.db", 10)
    assert gone > 0
