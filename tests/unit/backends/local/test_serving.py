"""In which order the replicas of one Serving start and end."""

from __future__ import annotations

import asyncio
from typing import Any

from klever.backends import Instance, InstancePhase, PredictorWorkload
from klever.backends.local.record import Record, Slot
from klever.backends.local.serving import LocalServing
from tests.contract.backend import KEY, workload


class SlowToEnd:
    """A replica that ends when `ended` is set."""

    def __init__(self, slot: Slot, ended: asyncio.Event) -> None:
        self.slot = slot
        self.instance = Instance(slot.name, "main", slot.workload, InstancePhase.READY)
        self._ended = ended

    def start(self) -> None: ...

    def assign(self, predictor: object) -> None: ...

    async def stop(self) -> None:
        await self._ended.wait()


async def test_the_new_replicas_wait_for_the_end_of_the_old_ones_if_they_must() -> None:
    ended, changed = asyncio.Event(), asyncio.Event()

    def make(slot: Slot, _record: Record | None) -> Any:
        return SlowToEnd(slot, ended)

    serving = LocalServing(KEY, make, changed.set)
    old, new = (PredictorWorkload("main", id_, 2, "custom") for id_ in ("old", "new"))

    def workloads() -> list[str]:
        return [instance.workload for instance in serving.instances()]

    serving.declare(workload(old, after_the_old=True))
    assert workloads() == ["old", "old"]
    serving.declare(workload(new, after_the_old=True))
    assert workloads() == []
    ended.set()
    await serving.settled()
    async with asyncio.timeout(10):
        while len(workloads()) < 2:
            changed.clear()
            await changed.wait()
    assert workloads() == ["new", "new"]
