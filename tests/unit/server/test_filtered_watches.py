"""Watches and lists with a filter that no store knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from klever.api.kinds import MODEL_JOB, NAMESPACE
from klever.server.lists import Lists
from klever.server.objects import Objects
from klever.server.watches import Watches
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1.common_pb2 import WatchEvent
from klever.v1alpha1.job_service_pb2 import ListModelJobsRequest, WatchModelJobsRequest, WatchModelJobsResponse
from klever.v1alpha1.modeljob_pb2 import ModelJob
from tests.contract.store import job


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Objects[ModelJob]]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    yield Objects(store, MODEL_JOB)
    await store.close()


async def told(watch: Any) -> tuple[int, str]:
    event = WatchModelJobsResponse.FromString(await anext(watch))
    return event.type, event.object.metadata.name


async def label(jobs: Objects[ModelJob], name: str, value: str | None) -> None:
    await jobs.store.patch(MODEL_JOB, Key("n", name), {"metadata": {"labels": {"team": value}}})


@pytest.mark.parametrize("resumed", [False, True])
async def test_an_object_that_stops_matching_is_told_as_deleted(jobs: Objects[ModelJob], resumed: bool) -> None:
    created = await jobs.store.create(MODEL_JOB, job("n", "a"))
    version = created["metadata"]["resourceVersion"] if resumed else ""
    request = WatchModelJobsRequest(namespace="n", filter="metadata.labels.team = v*", resource_version=version)
    watch = Watches(jobs).watch(request, WatchModelJobsResponse)
    await label(jobs, "a", "vision")
    assert await told(watch) == (WatchEvent.MODIFIED if resumed else WatchEvent.ADDED, "a")
    await label(jobs, "a", "voice")
    assert await told(watch) == (WatchEvent.MODIFIED, "a")
    await label(jobs, "a", None)
    assert await told(watch) == (WatchEvent.DELETED, "a")
    await jobs.store.create(MODEL_JOB, job("n", "b"))
    await label(jobs, "b", "vision")
    assert await told(watch) == (WatchEvent.ADDED, "b")
    await jobs.store.delete(MODEL_JOB, Key("n", "b"))
    assert await told(watch) == (WatchEvent.DELETED, "b")
    await watch.aclose()


async def test_a_page_that_nothing_matches_is_not_the_last_one(jobs: Objects[ModelJob]) -> None:
    for number in range(5):
        await jobs.store.create(MODEL_JOB, job("n", f"j{number}"))
    await label(jobs, "j4", "vision")
    request = ListModelJobsRequest(namespace="n", page_size=2, filter="metadata.labels:team")
    items, page = await Lists(jobs).page(request)
    assert ([item.metadata.name for item in items], page.next_token) == (["j4"], "")
