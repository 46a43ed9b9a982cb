"""The embedded store: the contract, and what is its own: restarts, bounds, backups."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import apsw
import pytest

from klever.api.kinds import EVENT, MODEL_JOB, NAMESPACE, Object
from klever.errors import ExpiredError, FailedPreconditionError, IntegrityError, InvalidError, UnavailableError
from klever.store import Key
from klever.store.sqlite import SqliteStore, backup, watching
from klever.store.validation import SchemaAdmission
from tests.contract.codec import CodecContract
from tests.contract.corpus import CorpusContract
from tests.contract.store import StoreContract, gone, job
from tests.errors import because


async def opened(path: Path) -> SqliteStore:
    return await SqliteStore.open(path, SchemaAdmission())


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await opened(tmp_path / "klever.db")
    yield store
    await store.close()


async def fill(store: SqliteStore, count: int) -> None:
    await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    await asyncio.gather(*(store.create(MODEL_JOB, job("n", f"j-{i:05}")) for i in range(count)))


class TestSqliteStore(StoreContract):
    pass


class TestCorpus(CorpusContract):
    pass


class TestCodec(CodecContract):
    pass


async def test_a_restart_finds_everything_and_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "klever.db"
    store = await opened(path)
    await fill(store, 20)
    await store.delete(MODEL_JOB, Key("n", "j-00019"))
    before = await store.list(MODEL_JOB)
    await store.close()
    store = await opened(path)
    assert (await store.list(MODEL_JOB)).items == before.items
    created = await store.create(MODEL_JOB, job("n", "new"))
    assert int(created["metadata"]["resourceVersion"]) > int(before.resource_version)
    await store.close()


async def test_one_process_at_a_time(tmp_path: Path, store: SqliteStore) -> None:
    with pytest.raises(FailedPreconditionError, check=because("STORE_LOCKED")):
        await opened(tmp_path / "klever.db")


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "klever.db"
    await (await opened(path)).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(FailedPreconditionError, check=because("SCHEMA_TOO_NEW")):
        await opened(path)


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "klever.db").write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(IntegrityError, check=because("STORE_DAMAGED")):
        await opened(tmp_path / "klever.db")


async def test_an_empty_file_is_a_lost_store(tmp_path: Path) -> None:
    path = tmp_path / "klever.db"
    store = await opened(path)
    await fill(store, 1)
    await store.close()
    os.truncate(path, 0)
    for _ in range(2):
        with pytest.raises(IntegrityError, check=because("STORE_LOST")):
            await opened(path)
    path.unlink()
    await (await opened(path)).close()


async def test_a_journal_without_its_file_is_a_lost_store(tmp_path: Path) -> None:
    path, journal = tmp_path / "klever.db", tmp_path / "klever.db-wal"
    store = await opened(path)
    await fill(store, 1)
    content = journal.read_bytes()
    await store.close()
    path.unlink()
    journal.write_bytes(content)
    with pytest.raises(IntegrityError, check=because("STORE_LOST")):
        await opened(path)
    journal.unlink()
    await (await opened(path)).close()


@pytest.mark.parametrize("size", [1, 100, 4096])
async def test_a_file_that_was_cut_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "klever.db"
    store = await opened(path)
    await fill(store, 1)
    await store.close()
    os.truncate(path, size)
    with pytest.raises(IntegrityError) as refused:
        await opened(path)
    assert refused.value.reason in {"STORE_DAMAGED", "STORE_LOST"}  # by how much is left


async def test_a_watch_from_too_long_ago_must_list_again(store: SqliteStore) -> None:
    await fill(store, 1)
    start = (await store.list(MODEL_JOB)).resource_version
    for number in range(100):  # 40 MB of changes
        note = {"note": f"{number:<200000}"}
        await store.patch(MODEL_JOB, Key("n", "j-00000"), {"metadata": {"annotations": note}})
    with pytest.raises(ExpiredError, check=because("EXPIRED")):
        await anext(store.watch(MODEL_JOB, resource_version=start))


async def test_a_watch_from_a_future_must_list_again(store: SqliteStore) -> None:
    with pytest.raises(ExpiredError, check=because("EXPIRED")):
        await anext(store.watch(MODEL_JOB, resource_version="1000"))


async def test_a_watch_goes_on_from_the_list_of_an_empty_store(store: SqliteStore) -> None:
    version = (await store.list(NAMESPACE)).resource_version
    await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    await store.patch(NAMESPACE, Key("", "n"), {"metadata": {"labels": {"x": "y"}}})
    watch = store.watch(NAMESPACE, resource_version=version)
    assert [(await anext(watch)).type for _ in range(2)] == ["ADDED", "MODIFIED"]


async def test_an_idle_watch_receives_bookmarks(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_BOOKMARK_SECONDS", 0.05)
    await fill(store, 0)
    version = (await store.list(MODEL_JOB)).resource_version

    async def write() -> None:
        for number in count():
            await store.create(MODEL_JOB, job("n", f"busy-{number}"))

    busy = asyncio.create_task(write())
    told = store.watch(MODEL_JOB, "quiet", resource_version=version, bookmarks=True)
    async with aclosing(told), asyncio.timeout(10):
        async for event in told:
            assert event.type == "BOOKMARK"
            if int(event.resource_version) > int(version) + 100:
                break
    busy.cancel()


async def test_closing_ends_watches(tmp_path: Path) -> None:
    store = await opened(tmp_path / "klever.db")
    watch = asyncio.ensure_future(anext(store.watch(MODEL_JOB)))
    await asyncio.sleep(0)  # it begins
    await store.close()
    with pytest.raises(UnavailableError, check=because("STORE_CLOSED")):
        async with asyncio.timeout(5):
            await watch


async def test_a_page_token_is_for_one_list(store: SqliteStore) -> None:
    await fill(store, 3)
    page = await store.list(MODEL_JOB, limit=2)
    with pytest.raises(InvalidError, check=because("INVALID", "page_token")):
        await store.list(MODEL_JOB, labels="x=y", limit=2, token=page.next_token)


async def test_a_finalizer_holds_an_empty_namespace(store: SqliteStore) -> None:
    key = Key("", "n")
    await store.create(NAMESPACE, {"metadata": {"name": "n", "finalizers": ["kleveross.io/test"]}})
    await store.create(MODEL_JOB, job("n", "a"))
    await store.delete(NAMESPACE, key)
    await gone(store, MODEL_JOB, Key("n", "a"))
    assert (await store.get(NAMESPACE, key))["status"]["phase"] == "Terminating"
    await store.patch(NAMESPACE, key, {"metadata": {"finalizers": None}})
    await gone(store, NAMESPACE, key)


async def test_events_live_for_an_hour_after_they_were_last_seen(tmp_path: Path) -> None:
    now = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

    async def reopened() -> SqliteStore:
        return await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission(), lambda: now)

    store = await reopened()
    await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    events: dict[str, Object] = {
        "old": {"lastTimestamp": "2026-01-31T11:59:00Z"},
        "seen": {"lastTimestamp": "2026-01-31T12:30:00Z"},
        "undated": {},
        "odd": {"lastTimestamp": "yesterday"},
    }
    for name, event in events.items():
        await store.create(EVENT, event | {"metadata": {"namespace": "n", "name": name}})
    await store.close()
    now += timedelta(minutes=59, seconds=30)
    store = await reopened()
    await gone(store, EVENT, Key("n", "old"))
    assert [e["metadata"]["name"] for e in (await store.list(EVENT)).items] == ["odd", "seen", "undated"]
    await store.close()
    now += timedelta(minutes=1)
    store = await reopened()
    for name in ("odd", "undated"):
        await gone(store, EVENT, Key("n", name))
    assert [e["metadata"]["name"] for e in (await store.list(EVENT)).items] == ["seen"]
    await store.close()


async def test_a_backup_is_whole(tmp_path: Path, store: SqliteStore) -> None:
    await fill(store, 50)
    await asyncio.to_thread(backup, tmp_path / "klever.db", tmp_path / "copy.db")
    copy = await opened(tmp_path / "copy.db")
    assert (await copy.list(MODEL_JOB)).items == (await store.list(MODEL_JOB)).items
    await copy.close()
