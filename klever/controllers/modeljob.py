"""ModelJob: runs its task once, and says how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from klever import tasks
from klever.api.kinds import MODEL_JOB, Object
from klever.api.text import format_time, parse_time
from klever.controllers.env import reserved_variables
from klever.controllers.extraction import CONTENT_ANNOTATION
from klever.controllers.inspections import allows_code, record_inspection
from klever.controllers.report import report
from klever.errors import InvalidError, KleverError, NotFoundError
from klever.executors import Executor, RegistryAccess, Task, TaskState
from klever.formats import Trust, trust_of
from klever.limits import DEFAULTS, Limits
from klever.oci.reference import Reference
from klever.reconcile.conditions import Condition, merge_conditions
from klever.reconcile.finalizers import hold, is_held, release
from klever.reconcile.runner import Result
from klever.store import Key, Store
from klever.store.events import EventRecorder

__all__ = ["CANCEL_ANNOTATION", "FINALIZER", "MAX_LOSSES", "ModelJobReconciler", "decide"]

FINALIZER = "kleveross.io/modeljob"
CANCEL_ANNOTATION = "kleveross.io/cancel"
"""On a ModelJob: its task shall end. The spec is immutable, so that the wish stands beside it."""

LOST = "Lost"
"""Of a task whose machine or supervisor went down: no fault of its own, tasks may be run twice."""
MAX_LOSSES = 5
"""How often a lost task is run again before its job fails, as one control plane counts since its start."""

_MAX_REPORT = 1024
"""Characters of a task's report that are kept."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that deciding needs.

    `refusal` is why the job can never run, empty if it can; `losses` how often its task was lost before.
    """

    job: Object
    task: TaskState | None
    refusal: str
    now: datetime
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, in this order. `status` None leaves it as it is."""

    add_finalizer: bool = False
    start: bool = False
    end_task: bool = False
    status: dict[str, Any] | None = None
    events: tuple[Event, ...] = field(default=())
    inspection: Any = None
    """What the task found in the content, as it says."""
    release: bool = False
    """Take the finalizer away: nothing of the job is left."""
    delete: bool = False
    requeue_after: float | None = None


def decide(snapshot: Snapshot) -> Decision:
    """Return the next step of a job. Pure."""
    metadata = snapshot.job["metadata"]
    if "deletionTimestamp" in metadata:
        return _deleting(snapshot)
    status = snapshot.job.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return _ended(snapshot)
    if not is_held(snapshot.job, FINALIZER):
        return Decision(add_finalizer=True, requeue_after=0)
    if metadata.get("annotations", {}).get(CANCEL_ANNOTATION) and not _has_succeeded(snapshot.task):
        return Decision(
            end_task=True,
            status=_status(snapshot, "Failed", "Cancelled", "cancelled before it ended"),
            events=(Event("Normal", "Cancelled", "the task was ended on request"),),
        )
    if snapshot.refusal:
        return Decision(
            status=_status(snapshot, "Failed", "Invalid", snapshot.refusal),
            events=(Event("Warning", "Invalid", snapshot.refusal),),
        )
    return _progress(snapshot)


def _has_succeeded(task: TaskState | None) -> bool:
    return task is not None and task.phase == "Succeeded"


def _deleting(snapshot: Snapshot) -> Decision:
    if not is_held(snapshot.job, FINALIZER):
        return Decision()
    has_ended = snapshot.job.get("status", {}).get("phase") in ("Succeeded", "Failed")
    status = None if has_ended else _status(snapshot, "Deleting", "Deleting", "its task is ended")
    return Decision(end_task=True, release=True, status=status)


def _ended(snapshot: Snapshot) -> Decision:
    """A finished job keeps its log until its time to live is over."""
    ttl = snapshot.job["spec"].get("ttlSecondsAfterFinished")
    completed = snapshot.job["status"].get("completionTime")
    if ttl is None or completed is None:
        return Decision()
    left = (parse_time(completed) + timedelta(seconds=ttl) - snapshot.now).total_seconds()
    return Decision(delete=True) if left <= 0 else Decision(requeue_after=left)


def _progress(snapshot: Snapshot) -> Decision:
    task = snapshot.task
    if task is None:
        return Decision(start=True, status=_status(snapshot, "Pending", "Starting", ""), requeue_after=0)
    if task.phase == "Pending":
        return Decision(start=True, status=_status(snapshot, "Pending", "Waiting", task.message))
    if task.phase == "Running":
        first = snapshot.job.get("status", {}).get("phase") != "Running"
        started = (Event("Normal", "Started", "the task runs"),) if first else ()
        return Decision(status=_status(snapshot, "Running", "Running", task.message), events=started)
    if task.phase == "Succeeded":
        report = str(task.result.get("report") or "done")[:_MAX_REPORT]
        return Decision(
            inspection=_inspection(snapshot.job, task),
            status=_status(snapshot, "Succeeded", "Completed", report),
            events=(Event("Normal", "Completed", report),),
        )
    reason = task.reason or "Error"
    if reason == LOST and snapshot.losses < MAX_LOSSES:
        again = Event("Warning", "Restarted", "the task was lost with what supervised it: it is run again")
        return Decision(
            end_task=True, status=_status(snapshot, "Pending", "Restarting", ""), events=(again,), requeue_after=0
        )
    return Decision(
        inspection=_inspection(snapshot.job, task),
        status=_status(snapshot, "Failed", reason, task.message),
        events=(Event("Warning", reason, task.message),),
    )


def _inspection(job: Object, task: TaskState) -> Any:
    """Return what a task found, whether or not it could go on; None where its environment is not the platform's.

    A task is believed for the content that its job was made for alone: a model that takes a task over speaks for no
    other.
    """
    found = task.result.get("inspection")
    if job["spec"].get("env"):
        return None
    content = job["metadata"].get("annotations", {}).get(CONTENT_ANNOTATION)
    return None if isinstance(found, dict) and found.get("content", content) != content else found


def _status(snapshot: Snapshot, phase: str, reason: str, message: str) -> dict[str, Any]:
    old = snapshot.job.get("status", {})
    now = format_time(snapshot.now)
    status: dict[str, Any] = {"phase": phase, "message": message}
    if phase in ("Running", "Succeeded") or (snapshot.task is not None and snapshot.task.started_at is not None):
        started = snapshot.task.started_at if snapshot.task else None
        status["startTime"] = old.get("startTime") or (format_time(started) if started else now)
    if phase in ("Succeeded", "Failed"):
        status["completionTime"] = now
        status["conditions"] = merge_conditions(
            old.get("conditions", []),
            (
                Condition("Complete", "True" if phase == "Succeeded" else "False", reason, message),
                Condition("Failed", "True" if phase == "Failed" else "False", reason, message),
            ),
            generation=snapshot.job["metadata"]["generation"],
            now=snapshot.now,
        )
    if phase == "Succeeded" and snapshot.task is not None:
        result = snapshot.task.result
        spec = snapshot.job["spec"]
        status["result"] = {
            "model": spec.get("desiredTag") or spec["model"],
            "digest": str(result.get("digest", "")),
            "report": str(result.get("report", "")),
        }
    return status


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
        task = await self._executor.get(job["metadata"]["uid"])
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
        if decision.end_task:
            await self._executor.delete(uid)
            if snapshot.task is not None and snapshot.task.reason == LOST:
                self._losses[key] += 1
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

    async def _record(self, inspection: Any) -> str:
        """Keep what a task found, and return why it cannot be kept, empty if it was. A task's words are not trusted."""
        if inspection is None:
            return ""
        if not isinstance(inspection, dict):
            return "the task reports an inspection that is not an object"
        try:
            await record_inspection(self._store, inspection, self._clock())
        except InvalidError as error:
            return f"the task reports an invalid inspection: {error.message}"
        return ""

    async def _start(self, key: Key, snapshot: Snapshot) -> str:
        """Start the task, and return why it can never be, empty if it can. What passes is said, and raised."""
        job = snapshot.job
        try:
            await self._executor.start(await self._task(job))
        except InvalidError as error:
            return error.message
        except KleverError as error:
            waits = _status(snapshot, "Pending", "Waiting", error.message)
            if _changes(job, waits):
                await report(self._store, MODEL_JOB, key, job["metadata"]["uid"], waits)
            raise
        return ""

    async def _refusal(self, job: Object) -> str:
        """Return why a job that the schema accepts can never work."""
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
        """Return the task of a job that `tasks.check` passed; raises `InvalidError` for an invalid reference."""
        spec, metadata = job["spec"], job["metadata"]
        seconds = self._limits.task_seconds
        converter = tasks.conversion(spec)
        inputs = {name: spec.get(name) for name in ("model", "desiredTag", "extraction", "conversion")}
        allow_code = converter is not None and await allows_code(self._store, metadata["namespace"])
        return Task(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            module=tasks.module(spec),
            inputs={**inputs, "limits": asdict(self._limits), "allowCode": allow_code},
            registries=_registries(spec),
            environment=converter.environment if converter else "",
            program=str(converter.program) if converter else "",
            trust=trust_of(converter.source) if converter else Trust.DATA,
            env=tuple(spec.get("env", ())),
            init_containers=tuple(spec.get("initContainer", ())),
            timeout_s=float(min(spec.get("activeDeadlineSeconds", seconds), seconds)),
            memory_bytes=self._limits.task_memory_bytes,
        )


def _registries(spec: dict[str, Any]) -> tuple[RegistryAccess, ...]:
    """Return what the task reaches: it reads the model, and writes the desired tag, or the model if there is none."""
    model = Reference.parse(spec["model"])
    target = Reference.parse(spec["desiredTag"]) if spec.get("desiredTag") else model
    write = RegistryAccess(target.host, target.repository, push=True)
    return (RegistryAccess(model.host, model.repository), write)


def _changes(job: Object, status: dict[str, Any]) -> bool:
    old = job.get("status", {})
    return any(old.get(name) != value for name, value in status.items())
