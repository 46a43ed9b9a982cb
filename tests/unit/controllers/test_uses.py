"""Who uses a version that is to be deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from klever.api.kinds import SERVING
from klever.artifacts.metadata import ModelMetadata
from klever.catalog.catalogue import Version
from klever.controllers.pushes import ensure_namespace
from klever.controllers.serving.history import RevisionHistory
from klever.controllers.serving.uses import VersionUses
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission

KEY = Key("team", "digits")
REPOSITORY = "team/digits"
RUNNING, OTHER = Digest.of(b"running"), Digest.of(b"other")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """It has one Serving of the tag v1, which is pinned."""
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, KEY.namespace)
    model = f"127.0.0.1:8080/{REPOSITORY}:v1"  # one of the platform's names
    await store.create(SERVING, {
        "apiVersion": SERVING.api_version,
        "kind": SERVING.kind,
        "metadata": {"namespace": KEY.namespace, "name": KEY.name, "finalizers": ["example.com/held"]},
        "spec": {"predictors": [{"name": "main", "model": model}]},
    })  # fmt: skip
    status = {"predictors": [{"name": "main", "model": model, "digest": str(RUNNING)}]}
    await store.patch(SERVING, KEY, {"status": status}, subresource="status")
    yield store
    await store.close()


async def test_a_serving_uses_the_tag_that_it_names_and_the_digest_that_it_runs(store: SqliteStore) -> None:
    find = partial(VersionUses(store).find, removed=False)
    assert await find(REPOSITORY, ["v1"], None) == ["serving team/digits"]
    assert await find(REPOSITORY, ["v2"], RUNNING) == ["serving team/digits"]
    assert await find(REPOSITORY, ["v1"], OTHER) == ["serving team/digits"]
    assert not await find(REPOSITORY, ["v2"], None)
    assert not await find(REPOSITORY, ["v2"], OTHER)
    assert not await find("team/other", ["v1"], RUNNING)


async def test_a_kept_revision_uses_the_manifest_that_it_ran_and_no_tag(store: SqliteStore) -> None:
    serving = await store.get(SERVING, KEY)
    version = Version(Reference(REPOSITORY, tag="v0"), OTHER, OTHER, 1, ModelMetadata(), "ormb")
    await RevisionHistory(store).record(serving, {"main": version}, datetime(2026, 1, 31, tzinfo=UTC))
    find = VersionUses(store).find
    assert await find(REPOSITORY, [], OTHER, removed=True) == ["revision 1 of serving team/digits"]
    assert not await find(REPOSITORY, ["v0"], OTHER, removed=False)


async def test_a_serving_that_is_being_deleted_uses_nothing(store: SqliteStore) -> None:
    await store.delete(SERVING, KEY)
    assert not await VersionUses(store).find(REPOSITORY, ["v1"], RUNNING, removed=True)
