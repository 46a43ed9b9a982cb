"""Finalizers keep an object, and an overtaken write changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from klever.api.kinds import NAMESPACE, Object
from klever.reconcile.finalizers import hold, is_held, release
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission

MINE, OTHER = "example.com/mine", "example.com/other"
KEY = Key("", "team")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await store.create(NAMESPACE, {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KEY.name, "finalizers": [OTHER]},
    })  # fmt: skip
    yield store
    await store.close()


async def finalizers(store: SqliteStore) -> list[str]:
    metadata: Object = (await store.get(NAMESPACE, KEY))["metadata"]
    return list(metadata.get("finalizers", []))


async def test_a_finalizer_is_added_and_taken_away_beside_others(store: SqliteStore) -> None:
    for _ in range(2):
        await hold(store, NAMESPACE, await store.get(NAMESPACE, KEY), MINE)
    assert await finalizers(store) == [OTHER, MINE]
    assert is_held(await store.get(NAMESPACE, KEY), MINE)
    for _ in range(2):
        await release(store, NAMESPACE, await store.get(NAMESPACE, KEY), MINE)
    assert await finalizers(store) == [OTHER]


async def test_an_overtaken_write_changes_nothing(store: SqliteStore) -> None:
    outdated = await store.get(NAMESPACE, KEY)
    await store.patch(NAMESPACE, KEY, {"metadata": {"labels": {"a": "b"}}})
    await hold(store, NAMESPACE, outdated, MINE)
    assert await finalizers(store) == [OTHER]


async def test_an_object_that_is_gone_is_not_missed(store: SqliteStore) -> None:
    await hold(store, NAMESPACE, {"metadata": {"name": "gone", "resourceVersion": "1"}}, MINE)
