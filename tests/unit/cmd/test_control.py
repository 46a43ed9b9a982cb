"""What the control loops look at."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from klever.api.kinds import KINDS, MODEL_JOB
from klever.cmd.control import CONTROLLERS, task_changes
from klever.controllers.pushes import ensure_namespace
from klever.environments import EnvironmentManager
from klever.executors import Task
from klever.executors.local import LocalExecutor
from klever.process import ProcessManager
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from tests.contract.executor import COMMAND


def test_rows_of_kinds_name_every_controller_of_the_table() -> None:
    assert {name for kind in KINDS for name in kind.controllers} == CONTROLLERS.keys()


async def test_tasks_of_jobs_that_are_gone_end(tmp_path: Path, processes: ProcessManager) -> None:
    """As those of a job whose finalizer somebody took away, of an earlier one of the same name, too."""
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, "team")
    job = await store.create(MODEL_JOB, {
        "apiVersion": MODEL_JOB.api_version,
        "kind": MODEL_JOB.kind,
        "metadata": {"namespace": "team", "name": "there"},
        "spec": {"model": "team/m:v1", "extraction": {"format": "ONNX"}},
    })  # fmt: skip
    uid = job["metadata"]["uid"]
    seen: set[Key] = set()
    async with LocalExecutor(
        processes, COMMAND, env={"PATH": "/usr/bin:/bin"}, environments=EnvironmentManager(tmp_path), slots=2
    ) as executor:
        for name, of in (("there", uid), ("there", "earlier"), ("gone", "g"), ("gone-and-waiting", "w")):
            await executor.ensure(Task("team", name, of, "module", {"seconds": 60}, timeout_s=60))
        looks = asyncio.ensure_future(task_changes(store, executor)(seen.add))
        async with asyncio.timeout(20):
            while [state.uid for state in await executor.list()] != [uid]:  # noqa: ASYNC110 - no end is told
                await asyncio.sleep(0.05)
        looks.cancel()
        with suppress(asyncio.CancelledError):
            await looks
        await executor.remove(uid)
    await store.close()
    assert seen == {Key("team", "there")}
