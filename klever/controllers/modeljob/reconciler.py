"""Reconciles one ModelJob: gathers, decides, applies. It runs the job's task once, and reports its progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from klever import tasks
from klever.api.kinds import MODEL_JOB, Object
from klever.controllers.env import reserved_variables
from klever.controllers.inspections import allows_code, record_inspection
from klever.controllers.modeljob.decision import FINALIZER, LOST, Decision, Snapshot, decide, make_status
from klever.controllers.modeljob.task import make_task
from klever.controllers.report import report
from klever.errors import InvalidError, KleverError, NotFoundError
from klever.executors import Executor, Task
from klever.formats import Trust
from klever.limits import DEFAULTS, Limits
from klever.reconcile.finalizers import hold, release
from klever.reconcile.runner import Result
from klever.store import Key, Store
from klever.store.events import EventRecorder

__all__ = ["ModelJobReconciler"]


class ModelJobReconciler:
    """Gathers, decides, applies."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        events: EventRecorder,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        limits: Limits = DEFAULTS,
    ) -> None:
        self._limits = limits
        self._store = store
        self._executor = executor
        self._events = events
        self._clock = clock
        self._losses: Counter[Key] = Counter()

    async def reconcile(self, key: Key) -> Result:
        try:
            job = await self._store.get(MODEL_JOB, key)
        except NotFoundError:
            self._losses.pop(key, None)
            return Result()
        task = await self._executor.observe(job["metadata"]["uid"])
        if job.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            self._losses.pop(key, None)
        snapshot = Snapshot(job, task, await self._refusal(job), self._clock(), self._losses[key])
        return await self._apply(key, snapshot, decide(snapshot))

    async def _apply(self, key: Key, snapshot: Snapshot, decision: Decision) -> Result:
        job = snapshot.job
        uid = job["metadata"]["uid"]
        if decision.add_finalizer:
            await hold(self._store, MODEL_JOB, job, FINALIZER)
        refusal = await self._start(key, snapshot) if decision.start else await self._record(decision.inspection)
        if refusal:
            refused = replace(snapshot, refusal=refusal)
            return await self._apply(key, refused, decide(refused))
        await self._end_task(key, snapshot, decision)
        if decision.status is not None and _changes(job, decision.status):
            if not await report(self._store, MODEL_JOB, key, uid, decision.status, deleting=decision.release):
                return Result()
            for event in decision.events:
                await self._events.record(job, event.type, event.reason, event.message)
        if decision.release:
            await release(self._store, MODEL_JOB, job, FINALIZER)
        if decision.delete:
            await self._store.delete(MODEL_JOB, key, uid=uid)
        return Result(decision.requeue_after)

    async def _end_task(self, key: Key, snapshot: Snapshot, decision: Decision) -> None:
        uid = snapshot.job["metadata"]["uid"]
        if decision.cancel_task:
            await self._executor.cancel(uid)
        if decision.remove_task:
            await self._executor.remove(uid)
            if snapshot.task is not None and snapshot.task.reason == LOST:
                self._losses[key] += 1

    async def _record(self, inspection: Any) -> str:
        """Store a task's inspection, which is untrusted. Return why it is invalid; empty if it was stored."""
        if inspection is None:
            return ""
        if not isinstance(inspection, dict):
            return "the task reported an inspection that is not an object"
        try:
            await record_inspection(self._store, inspection, self._clock())
        except InvalidError as error:
            return f"the task reported an invalid inspection: {error.message}"
        return ""

    async def _start(self, key: Key, snapshot: Snapshot) -> str:
        """Start the task. Return why it can never start; empty if it started. Report and raise temporary errors."""
        job = snapshot.job
        try:
            await self._executor.ensure(await self._task(job))
        except InvalidError as error:
            return error.message
        except KleverError as error:
            waits = make_status(snapshot, "Pending", "Waiting", error.message)
            if _changes(job, waits):
                await report(self._store, MODEL_JOB, key, job["metadata"]["uid"], waits)
            raise
        return ""

    async def _refusal(self, job: Object) -> str:
        """Return why a job that passed the schema can never work; empty if it can."""
        spec = job["spec"]
        try:
            tasks.check(spec)
            task = await self._task(job)
            violations = (*reserved_variables(spec.get("env", [])), *self._executor.check(task))
        except InvalidError as error:
            return error.message
        if task.trust is Trust.CODE and not task.inputs["allowCode"]:
            return (
                f"spec.conversion: the source format is code, and the project {task.namespace} does not allow code: "
                f"run `klever allow-code {task.namespace}`"
            )
        return "; ".join(f"spec.{violation}" for violation in violations)

    async def _task(self, job: Object) -> Task:
        converts = bool(job["spec"].get("conversion"))
        allow_code = converts and await allows_code(self._store, job["metadata"]["namespace"])
        return make_task(job, self._limits, allow_code=allow_code)


def _changes(job: Object, status: dict[str, Any]) -> bool:
    old = job.get("status", {})
    return any(old.get(name) != value for name, value in status.items())
