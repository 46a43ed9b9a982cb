"""How often an object is converted on its way: each conversion walks all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from klever.api.kinds import MODEL_JOB
from klever.controllers.pushes import ensure_namespace
from klever.server import objects
from klever.server.objects import Objects
from klever.server.watches import Watches
from klever.store import Key
from klever.store.sqlite import SqliteStore, store, watching, writes
from klever.store.validation import SchemaAdmission
from klever.v1alpha1.common_pb2 import WatchEvent
from klever.v1alpha1.job_service_pb2 import WatchModelJobsRequest, WatchModelJobsResponse
from klever.v1alpha1.modeljob_pb2 import ModelJob


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Objects[ModelJob]]:
    opened = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(opened, "default")
    yield Objects[ModelJob](opened, MODEL_JOB)
    await opened.close()


@pytest.fixture
def passes(jobs: Objects[ModelJob], monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts conversions between messages, JSON and stored bytes."""
    counted: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        convert: Callable[..., Any] = getattr(module, name)

        def counting(*arguments: Any) -> Any:
            counted[name] += 1
            return convert(*arguments)

        monkeypatch.setattr(module, name, counting)

    for module, names in (
        (objects, ("to_object", "from_object")),
        (store, ("copied", "decode")),
        (writes, ("copied", "encode", "decode")),
        (watching, ("decode",)),
    ):
        for name in names:
            count(module, name)
    return counted


def job(name: str) -> ModelJob:
    made = ModelJob()
    made.metadata.name = name
    made.spec.model = "team/m:v1"
    made.spec.extraction.format = "ONNX"
    return made


async def watches(jobs: Objects[ModelJob], number: int) -> list[AsyncGenerator[bytes, None]]:
    """Watches that have heard of all that exists."""
    shared = Watches(jobs)
    request = WatchModelJobsRequest(namespace="default", bookmarks=True)
    opened = [shared.watch(request, WatchModelJobsResponse) for _ in range(number)]
    for watch in opened:
        while WatchModelJobsResponse.FromString(await anext(watch)).type != WatchEvent.BOOKMARK:
            pass
    return opened


async def test_a_create_takes_three(jobs: Objects[ModelJob], passes: Counter[str]) -> None:
    await jobs.create(job("a"), "default")
    assert passes == {"to_object": 1, "encode": 1, "from_object": 1}


async def test_watchers_hear_what_the_api_wrote_without_any(jobs: Objects[ModelJob], passes: Counter[str]) -> None:
    opened = await watches(jobs, 3)
    await jobs.create(job("a"), "default")
    passes.clear()
    heard = [WatchModelJobsResponse.FromString(await anext(watch)) for watch in opened]
    assert [(event.type, event.object.metadata.name) for event in heard] == [(WatchEvent.ADDED, "a")] * 3
    assert not passes


async def test_watchers_share_the_one_of_what_a_controller_wrote(jobs: Objects[ModelJob], passes: Counter[str]) -> None:
    await jobs.create(job("a"), "default")
    opened = await watches(jobs, 3)
    await jobs.store.patch(MODEL_JOB, Key("default", "a"), {"status": {"phase": "Running"}}, subresource="status")
    passes.clear()
    heard = [WatchModelJobsResponse.FromString(await anext(watch)) for watch in opened]
    assert [(event.type, event.object.status.phase) for event in heard] == [(WatchEvent.MODIFIED, "Running")] * 3
    assert passes == {"decode": 1, "from_object": 1}
