"""Tasks in steps on this machine: secrets, and restarts between two steps."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from klever.executors import RegistryAccess, Task, TaskPhase
from klever.executors.local import LocalExecutor, Provision
from klever.process import ProcessManager
from tests.contract.executor import COMMAND, PROGRAM, ended, in_steps, logged
from tests.unit.executors.toy import toy_environments

pytestmark = pytest.mark.slow

_SECRETS = """
import json, sys
document = json.load(open(sys.argv[-1]))
print(document["step"], document["secrets"], flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


def executor(processes: ProcessManager, prelude: str = "") -> AbstractAsyncContextManager[LocalExecutor]:
    """A new executor over the same processes, as after a restart."""
    *python, source = COMMAND
    return LocalExecutor(
        ProcessManager(processes.root),
        (*python, prelude + source),
        env={},
        environments=toy_environments(processes.root),
        provide=_provide,
    )


def _provide(task: Task) -> Provision:
    return Provision({"push": any(access.push for access in task.registries)})


async def test_only_the_platforms_steps_have_secrets_each_its_own(processes: ProcessManager, program: str) -> None:
    registries = (RegistryAccess("", "team/m"), RegistryAccess("", "team/m", push=True))
    work = replace(in_steps(program), registries=registries)
    async with executor(processes, _SECRETS) as local:
        await local.ensure(work)
        await ended(local, work.uid)
        lines = [line async for line in local.logs(work.uid)]
    assert lines == ["fetch {'push': False}", "fetch", "work", "push {'push': True}", "push"]


async def test_a_restarted_control_plane_starts_the_next_step(
    processes: ProcessManager, program: str, tmp_path: Path
) -> None:
    work = in_steps(program, until=str(tmp_path / "go"))
    async with executor(processes) as local:
        await local.ensure(work)
        await logged(local, work.uid, "work")
    (tmp_path / "go").touch()
    async with executor(processes) as local:
        state = await ended(local, work.uid)
        assert (state.phase, state.result["of"]) == (TaskPhase.SUCCEEDED, "push")
        assert [line async for line in local.logs(work.uid)] == ["fetch", "work", "push"]


async def test_a_restarted_control_plane_does_not_resume_what_was_cancelled(
    processes: ProcessManager, program: str
) -> None:
    work = replace(in_steps(program), environment="no-such-environment")
    async with executor(processes) as local:
        await local.ensure(work)
        await logged(local, work.uid, "fetch")
        await local.cancel(work.uid)
    async with executor(processes) as local:
        state = await local.observe(work.uid)
        assert state is not None
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "Killed")


@pytest.mark.parametrize(("name", "count"), [("d", 5_000), ("d" * 200, 100)])
async def test_a_program_that_writes_deep_directories_fails_its_task_alone(
    processes: ProcessManager, tmp_path: Path, name: str, count: int
) -> None:
    """The next step gives them to its own user. The control plane met its limit of recursion there, and the place of
    the task was never free again."""
    path = tmp_path / "program.py"
    path.write_text(f"import os\nfor _ in range({count}):\n    os.mkdir({name!r})\n    os.chdir({name!r})\n")
    work = in_steps(str(path))
    async with executor(processes) as local:
        await local.ensure(work)
        state = await ended(local, work.uid)
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "LimitExceeded")
        assert "nested too deep" in state.message
        await local.remove(work.uid)
