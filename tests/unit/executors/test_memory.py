"""Programs that need much memory: refused where the machine has less, and otherwise one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from klever.converters import MemoryNeed
from klever.errors import FieldViolation
from klever.executors import Task, TaskPhase, TaskState
from klever.executors.local import LocalExecutor
from klever.process import ProcessManager
from klever.process.memory import Memory
from tests.contract.executor import COMMAND, PROGRAM, ended, in_steps, logged, task
from tests.unit.executors.toy import toy_environments

pytestmark = pytest.mark.slow

GIB = 1 << 30


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


def executor(processes: ProcessManager, memory: Callable[[], Memory], slots: int = 2) -> LocalExecutor:
    environments = toy_environments(processes.root)
    return LocalExecutor(processes, COMMAND, env={}, environments=environments, slots=slots, memory=memory)


def large(program: str, **request: Any) -> Task:
    """A task whose program needs 4 GiB; others get 1 GiB."""
    work = in_steps(program, **request)
    return replace(work, memory_bytes=GIB, program_memory=MemoryNeed(4 * GIB), most_memory_bytes=16 * GIB)


async def waiting(executor: LocalExecutor, uid: str) -> TaskState:
    """The task's state once it waits for memory."""
    async with asyncio.timeout(60):
        async for changed in executor.watch():
            state = await executor.observe(uid) if changed == uid else None
            if state and state.message.startswith("waiting for memory"):
                return state
    raise AssertionError("a watch does not end")


@pytest.mark.parametrize(
    ("need", "resources", "reason"),
    [
        (MemoryNeed(4 * GIB), {}, "InsufficientMemory"),
        (MemoryNeed(GIB), {"limits": {"memory": "4Gi"}}, "InsufficientMemory"),
        (MemoryNeed(32 * GIB), {}, "LimitExceeded"),
    ],
)
async def test_a_program_that_needs_more_than_the_machine_has_never_starts(
    processes: ProcessManager, program: str, need: MemoryNeed, resources: dict[str, Any], reason: str
) -> None:
    work = replace(large(program), program_memory=need, resources=resources)
    async with executor(processes, lambda: Memory(2 * GIB, 2 * GIB)) as local:
        await local.ensure(work)
        state = await ended(local, work.uid)
        lines = [line async for line in local.logs(work.uid)]
    assert (state.phase, state.reason) == (TaskPhase.FAILED, reason)
    assert "GiB" in state.message
    assert "work" not in lines


async def test_a_memory_limit_of_the_job_counts_instead_of_the_need(processes: ProcessManager, program: str) -> None:
    work = replace(large(program), resources={"limits": {"memory": "512Mi", "cpu": "1"}})
    async with executor(processes, lambda: Memory(GIB, GIB)) as local:
        await local.ensure(work)
        assert (await ended(local, work.uid)).phase is TaskPhase.SUCCEEDED


async def test_programs_that_need_much_run_one_after_the_other_and_hold_up_no_others(
    processes: ProcessManager, program: str, tmp_path: Path
) -> None:
    first, second = large(program, until=str(tmp_path / "go")), large(program)
    async with executor(processes, lambda: Memory(8 * GIB, 8 * GIB)) as local:
        await local.ensure(first)
        await logged(local, first.uid, "work")
        await local.ensure(second)
        state = await waiting(local, second.uid)
        assert state.phase is TaskPhase.RUNNING
        assert first.name in state.message
        small = task()
        await local.ensure(small)
        assert (await ended(local, small.uid)).phase is TaskPhase.SUCCEEDED
        (tmp_path / "go").touch()
        for work in (first, second):
            assert (await ended(local, work.uid)).phase is TaskPhase.SUCCEEDED


async def test_a_program_waits_until_the_machine_has_that_much_free(processes: ProcessManager, program: str) -> None:
    free = [GIB]
    work = large(program)
    async with executor(processes, lambda: Memory(8 * GIB, free[0])) as local:
        await local.ensure(work)
        assert "1.0 GiB" in (await waiting(local, work.uid)).message
        free[0] = 5 * GIB
        assert (await ended(local, work.uid)).phase is TaskPhase.SUCCEEDED


async def test_a_program_that_waits_beyond_its_deadline_fails(processes: ProcessManager, program: str) -> None:
    work = replace(large(program), timeout_s=1.0)
    async with executor(processes, lambda: Memory(8 * GIB, GIB)) as local:
        await local.ensure(work)
        state = await ended(local, work.uid)
    assert (state.phase, state.reason) == (TaskPhase.FAILED, "DeadlineExceeded")
    assert "waiting for memory" in state.message


async def test_resources_that_processes_here_cannot_have_are_refused(processes: ProcessManager) -> None:
    work = replace(task(), resources={"limits": {"nvidia.com/gpu": "1"}})
    async with executor(processes, lambda: Memory(GIB, GIB)) as local:
        (violation,) = local.check(work)
    assert isinstance(violation, FieldViolation)
    assert violation.field == "resources.limits.nvidia.com/gpu"


def test_a_need_grows_with_the_model() -> None:
    need = MemoryNeed(100, 2.5)
    assert [need.of(size) for size in (0, 1000)] == [100, 2600]
    assert need.together(MemoryNeed(300, 1)) == MemoryNeed(300, 2.5)
