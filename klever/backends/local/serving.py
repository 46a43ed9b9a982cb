"""The replicas of one Serving. One worker reconciles them with the declared workloads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from klever.backends import Instance, PredictorWorkload, ServingKey, Workload
from klever.backends.local.record import Record, Slot
from klever.backends.local.replica import Replica
from klever.errors import KleverError

__all__ = ["LocalServing"]

log = logging.getLogger(__name__)

_RETRY_S: Final = 5.0


class LocalServing:
    """The replicas of `key`. `make` makes the replica of a slot, with the record of its running process, if any.

    Making a replica is instant: it starts by itself. Ending one takes seconds and happens in the background. An ending
    replica is hidden at once. Its name becomes free at its end.
    """

    def __init__(
        self, key: ServingKey, make: Callable[[Slot, Record | None], Replica], changed: Callable[[], None]
    ) -> None:
        self.key = key
        self._make = make
        self._changed = changed
        self._replicas: dict[Slot, Replica] = {}
        self._ending: dict[Slot, asyncio.Task[None]] = {}
        self._wanted: dict[Slot, PredictorWorkload] = {}
        self._after_the_old = False

    @property
    def empty(self) -> bool:
        return not self._replicas and not self._ending

    def adopt(self, record: Record) -> Replica:
        replica = self._make(record.slot, record)
        self._replicas[record.slot] = replica
        return replica

    def declare(self, workload: Workload | None) -> None:
        """Run these workloads, keep those in `keep`, and end all others. None ends all."""
        keep = workload.keep if workload else frozenset[str]()
        self._after_the_old = workload is not None and workload.after_the_old
        self._wanted = {
            Slot(self.key, predictor.id, index): predictor
            for predictor in (workload.predictors if workload else ())
            for index in range(predictor.replicas)
        }
        for slot in self._replicas.keys() - self._wanted.keys():
            if slot.workload not in keep:
                self._end(slot)
        for slot, predictor in self._wanted.items():
            if slot in self._replicas:
                self._replicas[slot].assign(predictor)
        self._create_missing()

    def instances(self) -> tuple[Instance, ...]:
        return tuple(sorted((replica.instance for replica in self._replicas.values()), key=lambda one: one.name))

    def process(self, instance: str) -> str | None:
        """Return the id of an instance's process."""
        return next((slot.process for slot in self._replicas if slot.name == instance), None)

    def wake(self, process: str) -> None:
        """Notice that a process changed. It may belong to another Serving."""
        for slot, replica in self._replicas.items():
            if slot.process == process:
                replica.wake()

    async def settled(self) -> None:
        """Return when no replica is ending."""
        while self._ending:
            await asyncio.wait(self._ending.values())

    async def leave(self) -> None:
        """Stop supervising. The replicas keep running."""
        for task in self._ending.values():
            task.cancel()
        await asyncio.gather(*self._ending.values(), return_exceptions=True)
        await asyncio.gather(*(replica.leave() for replica in self._replicas.values()))

    def _create_missing(self) -> None:
        """Create the replicas that are wanted, but for those that wait for an end."""
        if self._after_the_old and self._ending:
            return
        for slot in self._wanted.keys() - self._replicas.keys() - self._ending.keys():
            self._create(slot, self._wanted[slot])

    def _create(self, slot: Slot, predictor: PredictorWorkload) -> None:
        replica = self._make(slot, None)
        self._replicas[slot] = replica
        replica.assign(predictor)
        replica.start()
        self._changed()

    def _end(self, slot: Slot) -> None:
        task = asyncio.create_task(self._stop(self._replicas.pop(slot)), name=f"end {slot.process}")
        self._ending[slot] = task
        task.add_done_callback(lambda done: self._ended(slot, done))
        self._changed()

    async def _stop(self, replica: Replica) -> None:
        while True:
            try:
                await replica.stop()
            except KleverError as error:
                log.warning("cannot end replica %s, retrying: %s", replica.slot.process, error)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    def _ended(self, slot: Slot, task: asyncio.Task[None]) -> None:
        del self._ending[slot]
        if not task.cancelled():
            self._create_missing()
        self._changed()
