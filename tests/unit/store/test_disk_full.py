"""A full disk: a write fails with a typed error, leaves nothing partial, and works again when there is space."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from klever.api.kinds import MODEL_JOB, NAMESPACE
from klever.errors import ExhaustedError
from klever.store import Key
from klever.store.sqlite import SqliteStore, backup
from klever.store.validation import SchemaAdmission
from tests.contract.store import job
from tests.errors import because
from tests.unit.conftest import MakeDisk

BALLAST = 24 << 20
NOTE = {"note": "x" * 200_000}


@pytest.fixture
def small_disk(make_disk: MakeDisk) -> Path:
    """64 MiB, 24 of which a file `ballast` takes."""
    disk = make_disk("64m")
    (disk / "ballast").write_bytes(bytes(BALLAST))
    return disk


@pytest.fixture
async def store(small_disk: Path) -> SqliteStore:
    store = await SqliteStore.open(small_disk / "klever.db", SchemaAdmission())
    await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    return store


async def names(store: SqliteStore) -> set[str]:
    return {obj["metadata"]["name"] for obj in (await store.list(MODEL_JOB)).items}


async def fill(store: SqliteStore, prefix: str) -> set[str]:
    """Create with four writers until there is no room; returns what was acknowledged."""
    done: set[str] = set()

    async def create(worker: int) -> None:
        for number in range(1_000):
            name = f"{prefix}-{worker}-{number}"
            await store.create(MODEL_JOB, job("n", name, annotations=NOTE))
            done.add(name)

    results = await asyncio.gather(*(create(worker) for worker in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [ExhaustedError] * 4
    return done


def leftovers(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if "copy" in path.name]


async def test_the_store_goes_on_when_there_is_room_again(small_disk: Path, store: SqliteStore) -> None:
    acknowledged = await fill(store, "first")
    assert await names(store) == acknowledged
    version = (await store.list(MODEL_JOB)).resource_version
    with pytest.raises(ExhaustedError, check=because("DISK_FULL")):
        await store.create(MODEL_JOB, job("n", "too-late", annotations=NOTE))

    (small_disk / "ballast").unlink()
    again = await store.create(MODEL_JOB, job("n", "too-late", annotations=NOTE))
    event = await anext(store.watch(MODEL_JOB, resource_version=version))
    assert event.object == again  # nothing was told of what failed
    acknowledged |= {"too-late"} | await fill(store, "second")
    assert await names(store) == acknowledged

    before = {obj["metadata"]["name"]: obj for obj in (await store.list(MODEL_JOB)).items}
    await store.close()
    store = await SqliteStore.open(small_disk / "klever.db", SchemaAdmission())
    assert {obj["metadata"]["name"]: obj for obj in (await store.list(MODEL_JOB)).items} == before
    assert await store.get(MODEL_JOB, Key("n", "too-late")) == again
    await store.close()


async def test_a_store_that_finds_a_full_disk_can_be_read(small_disk: Path, store: SqliteStore) -> None:
    acknowledged = await fill(store, "j")
    await store.close()
    with suppress(OSError), (small_disk / "rest").open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    try:
        store = await SqliteStore.open(small_disk / "klever.db", SchemaAdmission())
    except ExhaustedError:
        (small_disk / "ballast").unlink()
        store = await SqliteStore.open(small_disk / "klever.db", SchemaAdmission())
    assert await names(store) == acknowledged
    await store.close()


async def test_a_backup_without_room_leaves_nothing(small_disk: Path, store: SqliteStore) -> None:
    await fill(store, "j")
    with pytest.raises(ExhaustedError, check=because("DISK_FULL")):
        await asyncio.to_thread(backup, small_disk / "klever.db", small_disk / "copy.db")
    assert not leftovers(small_disk)
    await store.close()
