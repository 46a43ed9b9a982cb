"""The promises of the work queue."""

from __future__ import annotations

import asyncio

import pytest

from klever.reconcile.queue import Bucket, WorkQueue


async def test_a_key_added_often_is_worked_on_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(3):
        queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_a_key_is_never_worked_on_twice_at_a_time_and_never_lost() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_the_earlier_of_two_delays_holds() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 30)
    queue.add_after("a", 0.01)
    queue.add_after("a", 60)
    async with asyncio.timeout(5):
        assert await queue.get() == "a"
    queue.close()


async def test_waiting_workers_get_one_key_each() -> None:
    queue: WorkQueue[int] = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(4)]
    await asyncio.sleep(0)
    for key in range(4):
        queue.add(key)
    async with asyncio.timeout(5):
        assert sorted(await asyncio.gather(*workers)) == [0, 1, 2, 3]


async def test_delays_double_up_to_the_maximum_and_begin_anew_after_a_success() -> None:
    queue: WorkQueue[str] = WorkQueue(first=1, longest=5)
    assert [queue.retry("a") for _ in range(4)] == [1, 2, 4, 5]
    queue.forget("a")
    assert queue.retry("a") == 1
    queue.close()


async def test_many_keys_that_fail_at_once_are_tried_again_one_by_one() -> None:
    now = 100.0
    queue: WorkQueue[int] = WorkQueue(Bucket(rate=10, burst=3, clock=lambda: now), first=0.05, longest=60)
    assert [queue.retry(key) for key in range(5)] == pytest.approx([0.05, 0.05, 0.05, 0.1, 0.2])
    now += 0.3
    assert queue.retry(0) == pytest.approx(0.1)  # its own backoff, doubled
    now += 60
    assert [queue.retry(key) for key in (5, 6, 7, 8)] == pytest.approx([0.05, 0.05, 0.05, 0.1])
    queue.close()
