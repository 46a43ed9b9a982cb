"""The next step of a job, as a function of what is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from klever.api.kinds import MODEL_INSPECTION, MODEL_JOB
from klever.api.text import format_time
from klever.controllers.extraction import CONTENT_ANNOTATION
from klever.controllers.modeljob import FINALIZER, MAX_LOSSES, ModelJobReconciler, Snapshot, decide
from klever.controllers.modeljob.task import make_task
from klever.controllers.pushes import ensure_namespace
from klever.converters.table import converter
from klever.errors import ExhaustedError, FieldViolation, InvalidError
from klever.executors import Executor, Task, TaskPhase, TaskState
from klever.inspection import VERSION
from klever.limits import DEFAULTS
from klever.store import Key
from klever.store.events import EventRecorder
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from tests.errors import because

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = Key("default", "j")


def seen(task: TaskState | None = None, refusal: str = "", **job: Any) -> Snapshot:
    metadata = {"name": "j", "namespace": "n", "uid": "u", "generation": 1, "finalizers": [FINALIZER]}
    spec = {"model": "team/m:v1", "extraction": {"format": "ONNX"}, **job.pop("spec", {})}
    return Snapshot(
        {"metadata": metadata | job.pop("metadata", {}), "spec": spec, "status": job.pop("status", {})},
        task,
        refusal,
        NOW,
    )


def task(phase: TaskPhase, **fields: Any) -> TaskState:
    return TaskState("u", "n", "j", phase, **fields)


def test_a_finalizer_comes_before_anything_runs() -> None:
    decision = decide(seen(metadata={"finalizers": []}))
    assert decision.add_finalizer
    assert not decision.start


def test_the_reason_why_a_task_cannot_start_is_told_once() -> None:
    stuck = task(TaskPhase.PENDING, reason="ImagePullBackOff", message="cannot pull the image x:1")
    first = decide(seen(stuck))
    assert [(event.type, event.reason) for event in first.events] == [("Warning", "ImagePullBackOff")]
    assert first.status is not None
    assert first.status["conditions"][0]["reason"] == "ImagePullBackOff"
    assert not decide(seen(stuck, status=first.status)).events


def test_a_new_job_is_started_and_a_waiting_one_says_so() -> None:
    assert decide(seen()).start
    waiting = decide(seen(task(TaskPhase.PENDING, message="waiting: 2 of 2 jobs are running, 1 ahead")))
    assert waiting.status is not None
    assert (waiting.status["phase"], waiting.status["message"]) == (
        "Pending",
        "waiting: 2 of 2 jobs are running, 1 ahead",
    )
    assert [(c["type"], c["status"], c["reason"]) for c in waiting.status["conditions"]] == [
        ("Complete", "False", "Waiting"),
        ("Failed", "False", "Waiting"),
    ]


def test_a_task_that_succeeded_leaves_its_result() -> None:
    decision = decide(seen(task(TaskPhase.SUCCEEDED, result={"digest": "sha256:1", "report": "2 inputs"})))
    assert decision.status is not None
    assert decision.status["result"] == {"model": "team/m:v1", "digest": "sha256:1", "report": "2 inputs"}
    assert [(c["type"], c["status"]) for c in decision.status["conditions"]] == [
        ("Complete", "True"),
        ("Failed", "False"),
    ]


def test_a_task_that_failed_is_not_tried_again() -> None:
    decision = decide(seen(task(TaskPhase.FAILED, reason="PullFailed", message="no such model")))
    assert decision.status is not None
    assert (decision.status["phase"], decision.status["message"]) == ("Failed", "no such model")
    assert not decision.start
    assert decision.requeue_after is None


def test_a_task_that_was_lost_is_run_again() -> None:
    decision = decide(seen(task(TaskPhase.FAILED, reason="Lost", message="lost")))
    assert decision.remove_task
    assert decision.requeue_after == 0
    assert decision.status is not None
    assert decision.status["phase"] == "Pending"


def test_a_task_that_is_lost_whenever_it_runs_fails_in_the_end() -> None:
    """As where the machine's memory is short, and the kernel ends a task with its supervisor."""
    lost = seen(task(TaskPhase.FAILED, reason="Lost", message="lost"))
    assert decide(replace(lost, losses=MAX_LOSSES - 1)).requeue_after == 0
    decision = decide(replace(lost, losses=MAX_LOSSES))
    assert decision.status is not None
    assert decision.status["phase"] == "Failed"
    assert decision.status["conditions"][1]["reason"] == "Lost"


def test_an_impossible_job_is_refused_before_it_starts() -> None:
    decision = decide(seen(refusal="no such format"))
    assert decision.status is not None
    assert (decision.status["phase"], decision.start) == ("Failed", False)


def test_a_cancelled_job_ends_its_task() -> None:
    decision = decide(seen(task(TaskPhase.RUNNING), spec={"cancel": True}))
    assert decision.cancel_task
    assert decision.status is not None
    assert decision.status["conditions"][1]["reason"] == "Cancelled"


def test_a_task_that_has_succeeded_is_not_cancelled_any_more() -> None:
    succeeded = task(TaskPhase.SUCCEEDED, result={"digest": "sha256:1"})
    decision = decide(seen(succeeded, spec={"cancel": True}))
    assert decision.status is not None
    assert (decision.status["phase"], decision.status["result"]["digest"]) == ("Succeeded", "sha256:1")


def test_a_deleted_job_goes_after_its_task() -> None:
    decision = decide(seen(metadata={"deletionTimestamp": format_time(NOW)}))
    assert (decision.remove_task, decision.release) == (True, True)
    assert decision.status is not None
    assert decision.status["phase"] == "Deleting"


def test_a_deleted_job_that_has_ended_keeps_its_result() -> None:
    decision = decide(seen(metadata={"deletionTimestamp": format_time(NOW)}, status={"phase": "Failed"}))
    assert (decision.release, decision.status) == (True, None)


@pytest.mark.parametrize(("age", "deleted"), [(30, False), (60, True)])
def test_a_finished_job_goes_when_its_time_is_over(age: int, deleted: bool) -> None:
    status = {"phase": "Succeeded", "completionTime": format_time(NOW - timedelta(seconds=age))}
    decision = decide(seen(spec={"ttlSecondsAfterFinished": 60}, status=status))
    assert decision.delete is deleted
    assert decision.requeue_after == (None if deleted else 30)


class Refusing:
    """An executor that runs nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0
        self.violations: tuple[FieldViolation, ...] = ()

    def check(self, task: Task) -> tuple[FieldViolation, ...]:
        return self.violations

    async def observe(self, uid: str) -> TaskState | None:
        return None

    async def ensure(self, task: Task) -> None:
        self.asked += 1
        raise self.error


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """It has one job, which is about to start."""
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, KEY.namespace)
    await store.create(MODEL_JOB, {
        "apiVersion": MODEL_JOB.api_version,
        "kind": MODEL_JOB.kind,
        "metadata": {
            "namespace": KEY.namespace,
            "name": KEY.name,
            "finalizers": [FINALIZER],
            "annotations": {CONTENT_ANNOTATION: DIGEST},
        },
        "spec": {"model": "team/m:v1", "extraction": {"format": "ONNX"}},
    })  # fmt: skip
    yield store
    await store.close()


def reconciler(store: SqliteStore, executor: Refusing) -> ModelJobReconciler:
    return ModelJobReconciler(store, cast("Executor", executor), EventRecorder(store, "test"))


async def test_a_job_that_can_never_start_fails(store: SqliteStore) -> None:
    executor = Refusing(InvalidError("it can never be run"))
    for _ in range(3):
        await reconciler(store, executor).reconcile(KEY)
    status = (await store.get(MODEL_JOB, KEY))["status"]
    assert (status["phase"], status["message"]) == ("Failed", "it can never be run")
    assert executor.asked == 1


async def test_a_job_that_cannot_start_yet_waits_with_a_reason(store: SqliteStore) -> None:
    executor = Refusing(ExhaustedError("the disk is full"))
    for _ in range(2):
        with pytest.raises(ExhaustedError):
            await reconciler(store, executor).reconcile(KEY)
    job = await store.get(MODEL_JOB, KEY)
    assert (job["status"]["phase"], job["status"]["message"]) == ("Pending", "the disk is full")


async def test_a_job_that_its_executor_does_not_support_fails_and_names_the_fields(store: SqliteStore) -> None:
    executor = Refusing(AssertionError("it is not started"))
    executor.violations = (FieldViolation("env[A].valueFrom", "is not supported here"),)
    for _ in range(2):
        await reconciler(store, executor).reconcile(KEY)
    status = (await store.get(MODEL_JOB, KEY))["status"]
    assert (status["phase"], status["conditions"][1]["reason"]) == ("Failed", "Invalid")
    assert "spec.env[A].valueFrom" in status["message"]


class Ended(Refusing):
    """An executor whose one task has ended with a result."""

    def __init__(self, phase: TaskPhase, inspection: Any) -> None:
        super().__init__(InvalidError("it is not started again"))
        self.state = task(phase, reason="PushFailed", result={"digest": DIGEST, "inspection": inspection})

    async def observe(self, uid: str) -> TaskState | None:
        return self.state


DIGEST = f"sha256:{'1' * 64}"
FOUND = {
    "content": DIGEST,
    "inspectorVersion": VERSION,
    "files": 2,
    "codeFiles": [{"path": "x.py", "why": "Python code"}],
}


async def kept(store: SqliteStore) -> list[Any]:
    return [found["spec"] for found in (await store.list(MODEL_INSPECTION)).items]


@pytest.mark.parametrize("phase", [TaskPhase.SUCCEEDED, TaskPhase.FAILED])
async def test_an_inspection_is_stored_by_content_digest(store: SqliteStore, phase: TaskPhase) -> None:
    """Where a signature could not be read or written, too."""
    await reconciler(store, Ended(phase, FOUND)).reconcile(KEY)
    assert (await store.get(MODEL_JOB, KEY))["status"]["phase"] == phase
    (spec,) = await kept(store)
    assert {**spec, "inspectedAt": ""} == {**FOUND, "inspectedAt": ""}
    assert (await store.get(MODEL_INSPECTION, Key("", DIGEST.replace(":", "-"))))["spec"] == spec


INVALID: dict[str, Any] = {
    "not an object": "data",
    "a list": [FOUND],
    "no content": {"inspectorVersion": VERSION},
    "no version": {"content": DIGEST},
    "a version of the past": {**FOUND, "inspectorVersion": 0},
    "files that are a list": {**FOUND, "files": [1]},
    "fewer files than none": {**FOUND, "files": -1},
    "more files than there are numbers": {**FOUND, "files": 10**40},
    "a long list": {**FOUND, "unsafeGlobals": ["x"] * 21},
    "a long text": {**FOUND, "unsafeGlobals": ["x" * 300]},
    "formats that are numbers": {**FOUND, "codeFormats": [1]},
    "half of a character": {**FOUND, "codeFiles": [{"path": "\ud800"}]},
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_inspection_fails_the_job(store: SqliteStore, name: str) -> None:
    await reconciler(store, Ended(TaskPhase.SUCCEEDED, INVALID[name])).reconcile(KEY)
    status = (await store.get(MODEL_JOB, KEY))["status"]
    assert (status["phase"], status["conditions"][1]["reason"]) == ("Failed", "Invalid")
    assert not await kept(store)


async def test_a_task_with_an_environment_of_its_own_is_not_believed(store: SqliteStore) -> None:
    await store.create(MODEL_JOB, {
        "apiVersion": MODEL_JOB.api_version,
        "kind": MODEL_JOB.kind,
        "metadata": {"namespace": KEY.namespace, "name": "other", "finalizers": [FINALIZER]},
        "spec": {"model": "team/m:v1", "extraction": {"format": "ONNX"}, "env": [{"name": "A", "value": "b"}]},
    })  # fmt: skip
    await reconciler(store, Ended(TaskPhase.SUCCEEDED, FOUND)).reconcile(Key(KEY.namespace, "other"))
    assert (await store.get(MODEL_JOB, Key(KEY.namespace, "other")))["status"]["phase"] == "Succeeded"
    assert not await kept(store)


async def test_a_task_speaks_for_no_content_but_its_own(store: SqliteStore) -> None:
    other = {**FOUND, "content": f"sha256:{'2' * 64}", "codeFormats": []}
    await reconciler(store, Ended(TaskPhase.SUCCEEDED, other)).reconcile(KEY)
    assert (await store.get(MODEL_JOB, KEY))["status"]["phase"] == "Succeeded"
    assert not await kept(store)


async def test_fields_that_a_task_adds_are_not_kept(store: SqliteStore) -> None:
    added = {**FOUND, "inspectedAt": "1999-01-01T00:00:00Z", "trust": "data"}
    await reconciler(store, Ended(TaskPhase.SUCCEEDED, added)).reconcile(KEY)
    (spec,) = await kept(store)
    assert "trust" not in spec
    assert not spec["inspectedAt"].startswith("1999")


def test_a_conversion_gets_the_memory_that_its_formats_need_and_no_job_more_than_the_limit() -> None:
    spec: dict[str, Any] = {
        "model": "team/m:v1",
        "desiredTag": "team/m:v2",
        "conversion": {"mmdnn": {"from": "H5", "to": "ONNX"}},
    }
    job = {"metadata": {"name": "j", "namespace": "n", "uid": "u"}, "spec": spec}
    made = make_task(job, DEFAULTS, allow_code=False)
    assert made.program_memory == converter("H5", "ONNX").memory
    assert made.program_memory.of(100 << 20) > DEFAULTS.task_memory_bytes
    spec["resources"] = {"limits": {"memory": "64Gi"}}
    assert make_task(job, DEFAULTS, allow_code=False).resources == spec["resources"]
    spec["resources"] = {"limits": {"memory": "65Gi"}}
    with pytest.raises(InvalidError, check=because("LIMIT_EXCEEDED", "spec.resources.limits.memory")):
        make_task(job, DEFAULTS, allow_code=False)
