"""Inspections go when nothing uses their contents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from klever.api.kinds import MODEL_INSPECTION, SERVING, SERVING_REVISION
from klever.controllers.collection import InspectionCollector
from klever.controllers.inspections import find_inspection, record_inspection
from klever.controllers.pushes import ensure_namespace
from klever.errors import UnavailableError
from klever.inspection import VERSION
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from tests.unit.controllers.registry import Registry

INSPECTED = datetime(2026, 1, 31, 12, tzinfo=UTC)
NAMES = ("tagged", "served", "pinned", "kept", "unused")
TAGGED, SERVED, PINNED, KEPT, UNUSED = (Digest.of(name.encode()) for name in NAMES)


class Catalogue(Registry):
    """`away` is a host that does not answer."""

    away = ""

    async def contents(self) -> AsyncIterator[Digest]:
        if self.version:
            yield self.version.content

    async def resolve(self, reference: Reference) -> Any:
        if reference.host and reference.host == self.away:
            raise UnavailableError(f"{reference.host} does not answer")
        return await super().resolve(reference)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, "team")
    for content in (TAGGED, SERVED, PINNED, KEPT, UNUSED):
        await record_inspection(store, {"content": str(content), "inspectorVersion": VERSION}, INSPECTED)
    yield store
    await store.close()


@pytest.fixture
async def catalogue(store: SqliteStore) -> Catalogue:
    """A tag names one content; a Serving names another, and was pinned to two more before."""
    catalogue = Catalogue()
    pinned = catalogue.push("1", "pinned")
    served = catalogue.push("2", "served")
    earlier = catalogue.push("0", "kept")
    catalogue.push("3", "tagged")
    serving = {
        "apiVersion": SERVING.api_version,
        "kind": SERVING.kind,
        "metadata": {"namespace": "team", "name": "digits"},
        "spec": {"predictors": [{"name": "main", "model": f"elsewhere.example/team/digits@{served}"}]},
    }
    await store.create(SERVING, serving)
    status = {"predictors": [{"name": "main", "model": "team/digits:v0", "digest": str(pinned)}]}
    await store.patch(SERVING, Key("team", "digits"), {"status": status}, subresource="status")
    models = [{"predictor": "main", "model": "team/digits", "digest": str(earlier)}]
    revision = {
        "apiVersion": SERVING_REVISION.api_version,
        "kind": SERVING_REVISION.kind,
        "metadata": {"namespace": "team", "name": "digits-1"},
        "spec": {"serving": "digits", "number": 1, "template": serving["spec"], "models": models},
    }
    await store.create(SERVING_REVISION, revision)
    return catalogue


def collector(store: SqliteStore, catalogue: Any, age: timedelta) -> InspectionCollector:
    return InspectionCollector(store, catalogue, clock=lambda: INSPECTED + age)


async def kept(store: SqliteStore) -> set[str]:
    return {o["spec"]["content"] for o in (await store.list(MODEL_INSPECTION)).items}


async def test_collects_content_without_a_tag_or_a_serving(store: SqliteStore, catalogue: Catalogue) -> None:
    await collector(store, catalogue, timedelta(hours=23)).sweep()
    assert await kept(store) == {TAGGED, SERVED, PINNED, KEPT, UNUSED}
    await collector(store, catalogue, timedelta(hours=25)).sweep()
    assert await kept(store) == {TAGGED, SERVED, PINNED, KEPT}
    await store.delete(SERVING, Key("team", "digits"))
    await store.delete(SERVING_REVISION, Key("team", "digits-1"))
    await collector(store, catalogue, timedelta(hours=25)).sweep()
    assert await kept(store) == {TAGGED}
    assert catalogue.version is not None
    catalogue.version = replace(catalogue.version, content=UNUSED)
    await collector(store, catalogue, timedelta(hours=25)).sweep()
    assert await kept(store) == set()
    assert await find_inspection(store, UNUSED) is None


async def test_nothing_goes_while_a_registry_of_a_serving_is_away(store: SqliteStore, catalogue: Catalogue) -> None:
    catalogue.away = "elsewhere.example"
    with pytest.raises(UnavailableError):
        await collector(store, catalogue, timedelta(days=9)).sweep()
    assert await kept(store) == {TAGGED, SERVED, PINNED, KEPT, UNUSED}
