"""Lists by creation, over several pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from klever.api.kinds import MODEL_JOB, NAMESPACE
from klever.errors import InvalidError
from klever.server.lists import Lists
from klever.server.objects import Objects
from klever.store import Key
from klever.store.events import EventRecorder
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1.job_service_pb2 import JobServiceListEventsRequest, ListModelJobsRequest
from klever.v1alpha1.modeljob_pb2 import ModelJob
from tests.contract.store import job

NAMES = ["m", "z", "a", "k", "b"]
"""In the order of creation, some in the same second."""


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Objects[ModelJob]]:
    steps = count()
    begin = datetime(2026, 1, 31, tzinfo=UTC)
    store = await SqliteStore.open(
        tmp_path / "klever.db", SchemaAdmission(), lambda: begin + timedelta(seconds=next(steps) // 2)
    )
    await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    for name in NAMES:
        await store.create(MODEL_JOB, job("n", name))
    yield Objects(store, MODEL_JOB)
    await store.close()


async def pages(jobs: Objects[ModelJob], order: str) -> list[list[str]]:
    found, token = [], ""
    while True:
        items, page = await Lists(jobs).page(
            ListModelJobsRequest(namespace="n", page_size=2, order_by=order, page_token=token)
        )
        found.append([item.metadata.name for item in items])
        token = page.next_token
        if not token:
            return found


async def test_an_order_by_creation_goes_over_all_pages(jobs: Objects[ModelJob]) -> None:
    listed = [item.metadata for item in (await Lists(jobs).page(ListModelJobsRequest(namespace="n")))[0]]
    places = sorted((m.creation_timestamp.seconds, m.name) for m in listed)
    names = [name for _, name in places]
    assert names != sorted(names)
    for order, wanted in (
        ("metadata.creation_timestamp", names),
        ("metadata.creationTimestamp desc, metadata.name desc", names[::-1]),
    ):
        found = await pages(jobs, order)
        assert [len(page) for page in found] == [2, 2, 1]
        assert [name for page in found for name in page] == wanted


async def test_a_selection_can_be_ordered(jobs: Objects[ModelJob]) -> None:
    items, _ = await Lists(jobs).page(
        ListModelJobsRequest(namespace="n", filter="metadata.name!=a", order_by="metadata.creation_timestamp")
    )
    assert sorted(item.metadata.name for item in items) == sorted(set(NAMES) - {"a"})


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ListModelJobsRequest(order_by="size"), "order_by"),
        (ListModelJobsRequest(order_by="metadata.labels"), "order_by"),
        (ListModelJobsRequest(order_by="spec"), "order_by"),
        (ListModelJobsRequest(order_by="metadata.name down"), "order_by"),
        (ListModelJobsRequest(order_by="spec.model", page_token="what"), "page_token"),
        (ListModelJobsRequest(order_by="spec.model", page_token="WyJzcGVjLm1vZGVsIiwgMV0="), "page_token"),
        (ListModelJobsRequest(filter="status.phase ="), "filter"),
        (ListModelJobsRequest(filter="size = 3"), "filter"),
        (ListModelJobsRequest(label_selector="a in"), "label_selector"),
        (ListModelJobsRequest(page_size=-1), "page_size"),
    ],
)
async def test_an_invalid_order_is_refused(jobs: Objects[ModelJob], request_: ListModelJobsRequest, field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        await Lists(jobs).page(request_)
    assert [v.field for v in caught.value.violations] == [field]


async def test_events_are_told_oldest_first_over_all_pages(jobs: Objects[ModelJob]) -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    times = count()
    recorder = EventRecorder(jobs.store, "test", clock=lambda: now + timedelta(minutes=next(times)))
    for name in NAMES:
        await recorder.record(await jobs.store.get(MODEL_JOB, Key("n", name)), "Normal", "Seen", f"{name} was seen")
    told, token, first = [], "", True
    while token or first:
        items, token = await Lists(jobs).events(
            JobServiceListEventsRequest(namespace="n", page_size=2, page_token=token)
        )
        told += [event.involved_object.name for event in items]
        first = False
    assert told == NAMES
    assert len((await Lists(jobs).events(JobServiceListEventsRequest(namespace="-")))[0]) == len(NAMES)
    assert len((await Lists(jobs).events(JobServiceListEventsRequest()))[0]) == len(NAMES)
    assert not (await Lists(jobs).events(JobServiceListEventsRequest(namespace="other")))[0]
    request = JobServiceListEventsRequest(namespace="n", filter="message:k", order_by="involved_object.name desc")
    assert [event.involved_object.name for event in (await Lists(jobs).events(request))[0]] == ["k"]


async def test_a_recreated_object_does_not_list_the_events_of_its_predecessor(jobs: Objects[ModelJob]) -> None:
    key = Key("n", "a")
    old = await jobs.store.get(MODEL_JOB, key)
    recorder = EventRecorder(jobs.store, "test")
    await recorder.record(old, "Normal", "Old", "before")
    await jobs.store.delete(MODEL_JOB, key)

    async def reasons() -> list[str]:
        return [e.reason for e in (await Lists(jobs).events(JobServiceListEventsRequest(namespace="n", name="a")))[0]]

    assert await reasons() == ["Old"]  # of what is gone
    fields = ("apiVersion", "kind", "spec")
    new = {f: old[f] for f in fields} | {"metadata": {"namespace": "n", "name": "a"}}
    await recorder.record(await jobs.store.create(MODEL_JOB, new), "Normal", "New", "after")
    assert await reasons() == ["New"]
