from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from klever.environments import EnvironmentManager
from klever.errors import DeadlineError, ExhaustedError, InvalidError
from klever.executors import TaskPhase
from klever.executors.local import LocalExecutor
from klever.process import ProcessManager, ProcessSpec, launch, manager
from klever.process.record import Run
from tests.contract.executor import COMMAND, ExecutorContract, ended, running, task
from tests.unit.conftest import MakeDisk
from tests.unit.executors.toy import toy_environments

pytestmark = pytest.mark.slow

ENV = {"PATH": "/usr/bin:/bin"}


def local(processes: ProcessManager, slots: int = 3, command: tuple[str, ...] = COMMAND) -> LocalExecutor:
    environments = toy_environments(processes.root)
    return LocalExecutor(processes, command, env=ENV, environments=environments, slots=slots)


class TestLocalExecutor(ExecutorContract):
    @pytest.fixture
    async def executor(self, processes: ProcessManager) -> AsyncIterator[LocalExecutor]:
        async with local(processes) as executor:
            yield executor


async def message(executor: LocalExecutor, uid: str) -> str:
    state = await executor.observe(uid)
    assert state is not None
    return state.message


async def test_one_that_waits_and_is_asked_for_again_is_not_told_of_again(processes: ProcessManager) -> None:
    """The owner ensures a task again after each notification, so a notification for it would start an endless loop."""
    async with local(processes, slots=1) as executor:
        for uid in "ab":
            await executor.ensure(task(seconds=60, uid=uid))
        changes = executor.watch()
        assert {await anext(changes) for _ in "ab"} == set("ab")
        await executor.ensure(task(seconds=60, uid="b"))
        await executor.ensure(task(seconds=60, uid="c"))
        assert await anext(changes) == "c"
        for uid in "cba":
            await executor.remove(uid)


async def test_a_start_is_told_to_the_next_waiting_tasks_alone(processes: ProcessManager) -> None:
    """Each task that is told of writes its job: thousands of waiting ones would keep the platform busy."""
    async with local(processes, slots=1) as executor:
        uids = [f"w{number:02}" for number in range(40)]
        await executor.ensure(task(seconds=60, uid="first"))
        for uid in uids:
            await executor.ensure(task(seconds=60, uid=uid))
        assert (await message(executor, "w19")).endswith(", 19 ahead")
        assert (await message(executor, "w20")).endswith(", at least 20 ahead")
        changes = executor.watch()
        assert {await anext(changes) for _ in range(41)} == {"first", *uids}
        await executor.remove("first")
        await executor.ensure(task(seconds=60, uid="last"))
        told = set()
        while "last" not in told:
            told.add(await anext(changes))
        assert told == {"first", *uids[:21], "last"}
        for uid in ["last", *reversed(uids)]:
            await executor.remove(uid)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Processes whose shim answers too late, once."""
    ids: set[str] = set()
    run_shim = launch.run_shim

    async def run(spec: ProcessSpec, what: Run, directory: Path) -> str:
        answer = await run_shim(spec, what, directory)
        if spec.id in ids:
            ids.discard(spec.id)
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(manager, "_START_S", 2.0)
    monkeypatch.setattr(manager, "run_shim", run)
    return ids


async def test_a_task_that_did_not_start_in_time_is_unknown(processes: ProcessManager, late: set[str]) -> None:
    """Else its job had failed: killed, though nobody killed it."""
    async with local(processes) as executor:
        late.add("task-a")
        with pytest.raises(DeadlineError):
            await executor.ensure(task(seconds=60, uid="a"))
        assert await executor.observe("a") is None
        await executor.ensure(task(seconds=60, uid="a"))
        await running(executor, "a")
        await executor.remove("a")


async def test_a_task_that_failed_to_start_starts_at_the_next_request(
    processes: ProcessManager, late: set[str]
) -> None:
    async with local(processes, slots=1) as executor:
        late.add("task-b")
        second = task(seconds=60, uid="b")
        await executor.ensure(task(seconds=0.1, uid="a"))
        await executor.ensure(second)
        async with asyncio.timeout(20):
            async for _ in executor.watch():
                if not (await message(executor, "b")).startswith("waiting"):
                    break
        await executor.ensure(second)
        await running(executor, "b")
        await executor.remove("b")


async def test_a_start_that_its_owner_gave_up_is_made_good(processes: ProcessManager, late: set[str]) -> None:
    async with local(processes, slots=1) as executor:
        late.add("task-a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await executor.ensure(task(seconds=60, uid="a"))
        await executor.ensure(task(seconds=60, uid="a"))
        await running(executor, "a")
        await executor.remove("a")


async def test_the_rest_waits_in_order_and_says_so(processes: ProcessManager) -> None:
    async with local(processes, slots=2) as executor:
        works = [task(seconds=60, uid=name) for name in "abcd"]
        for work in works:
            await executor.ensure(work)
        states = {state.uid: state for state in await executor.list()}
        assert [states[name].phase for name in "abcd"] == ["Running", "Running", "Pending", "Pending"]
        assert states["c"].message == "waiting: 2 of 2 jobs are running, 0 ahead"
        assert states["d"].message == "waiting: 2 of 2 jobs are running, 1 ahead"
        changes = executor.watch()
        assert {await anext(changes) for _ in "abcd"} == set("abcd")
        await executor.remove("a")
        await running(executor, "c")
        assert await message(executor, "d") == "waiting: 2 of 2 jobs are running, 0 ahead"
        async with asyncio.timeout(10):
            seen: set[str] = set()
            while not {"a", "c", "d"} <= seen:  # also of the one whose place in the queue moved
                seen.add(await anext(changes))
        await executor.remove("d")
        assert await executor.observe("d") is None


async def test_fills_the_place_of_a_task_that_ended(processes: ProcessManager) -> None:
    async with local(processes, slots=1) as executor:
        works = [task(lines=[name], uid=name) for name in "abcde"]
        await asyncio.gather(*map(executor.ensure, works))
        for work in works:
            assert (await ended(executor, work.uid)).phase is TaskPhase.SUCCEEDED
        started = [state.started_at for state in await executor.list()]
        finished = [state.finished_at for state in await executor.list()]
        assert all(one and two and one <= two for one, two in zip(finished[:-1], started[1:], strict=True))


async def test_a_task_has_an_empty_directory_until_it_ends(processes: ProcessManager) -> None:
    program = "import os; print(os.getcwd() == os.environ['HOME'] == os.environ['TMPDIR']); print(os.listdir())"
    program += "; open('rest', 'w'); print(oct(os.stat('spec.json').st_mode & 0o777))"
    async with LocalExecutor(
        processes, (sys.executable, "-c", program), env=ENV, environments=EnvironmentManager(processes.root)
    ) as executor:
        work = task()
        await executor.ensure(work)
        await ended(executor, work.uid)
        assert [line async for line in executor.logs(work.uid)] == ["True", "['spec.json']", "0o600"]
        await executor.ensure(task(uid="next"))  # it is cleaned up after before others start
        await ended(executor, "next")
        assert not (processes.directory(f"task-{work.uid}") / "work").exists()
        await executor.remove(work.uid)
        assert not processes.directory(f"task-{work.uid}").exists()


async def test_a_command_that_is_missing_fails_the_task(processes: ProcessManager) -> None:
    async with LocalExecutor(
        processes, ("/no/such/command",), env=ENV, environments=EnvironmentManager(processes.root)
    ) as executor:
        await executor.ensure(task(uid="a"))
        state = await ended(executor, "a")
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "StartError")
        assert "/no/such/command" in state.message


async def test_a_restart_adopts_what_runs_and_starts_nothing_twice(processes: ProcessManager) -> None:
    works = [task(seconds=60, uid="a"), task(lines=["once"], uid="b"), task(uid="c")]
    async with local(processes, slots=1) as before:
        for work in works:
            await before.ensure(work)
        first = await before.observe("a")
    async with local(ProcessManager(processes.root), slots=1) as after:
        assert await after.observe("a") == first
        assert await after.observe("b") is None  # it waited, and its owner starts it again
        for work in works:
            await after.ensure(work)
        assert await after.observe("a") == first
        assert await message(after, "c") == "waiting: 1 of 1 jobs are running, 1 ahead"
        await after.remove("a")
        assert (await ended(after, "b")).phase is TaskPhase.SUCCEEDED
        assert (await ended(after, "c")).phase is TaskPhase.SUCCEEDED
        assert [line async for line in after.logs("b")] == ["once"]


CONTROL_PLANE = """
import asyncio, sys
from pathlib import Path
from klever.environments import EnvironmentManager
from klever.executors.local import LocalExecutor
from klever.process import ProcessManager, ProcessSpec
from tests.contract.executor import COMMAND, task

async def main():
    processes = ProcessManager(Path(sys.argv[1]))
    environments = EnvironmentManager(processes.root)
    async with LocalExecutor(processes, COMMAND, env={}, environments=environments, slots=1) as executor:
        outcome = {"exitCode": 0, "result": {"n": 1}}
        await executor.ensure(task(uid="a", lines=["up"], until=sys.argv[2], outcome=outcome))
        print("up", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_task_outlives_a_killed_control_plane(processes: ProcessManager, tmp_path: Path) -> None:
    go = tmp_path / "go"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CONTROL_PLANE, str(processes.root), str(go)), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    process.kill()
    await process.wait()
    async with local(processes) as executor:
        assert [state.phase for state in await executor.list()] == [TaskPhase.RUNNING]
        go.touch()
        state = await ended(executor, "a")
        assert (state.phase, state.result) == (TaskPhase.SUCCEEDED, {"n": 1})
        assert [line async for line in executor.logs("a")] == ["up"]


async def test_a_task_whose_shim_was_killed_is_lost(processes: ProcessManager) -> None:
    async with local(processes, slots=1) as executor:
        await executor.ensure(task(uid="a", seconds=60))
        await executor.ensure(task(uid="b"))
        process = processes.get("task-a")
        assert process is not None
        os.kill(_parent(process.pid), signal.SIGKILL)
        state = await ended(executor, "a")
        assert (state.phase, state.reason, state.exit_code) == (TaskPhase.FAILED, "Lost", None)
        assert (await ended(executor, "b")).phase is TaskPhase.SUCCEEDED


def _parent(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_other_processes_are_none_of_its_own(processes: ProcessManager) -> None:
    await processes.start(ProcessSpec("envoy", ("sleep", "60"), ENV))
    async with local(processes, slots=1) as executor:
        assert await executor.list() == ()
        await executor.ensure(task(uid="a"))
        assert (await ended(executor, "a")).phase is TaskPhase.SUCCEEDED


async def test_a_full_disk_is_told_to_the_owner(make_disk: MakeDisk) -> None:
    disk = make_disk("128k")
    async with local(ProcessManager(disk)) as executor:
        filler = disk / "filler"
        with suppress(OSError):
            filler.write_bytes(b"\0" * (1 << 20))
        with pytest.raises(ExhaustedError):
            await executor.ensure(task(uid="a"))
        assert await executor.observe("a") is None
        filler.unlink()
        await executor.ensure(task(uid="a"))
        assert (await ended(executor, "a")).phase is TaskPhase.SUCCEEDED
        await executor.remove("a")


async def test_one_that_cannot_be_started_when_its_turn_comes_is_its_owners(processes: ProcessManager) -> None:
    async with local(processes, slots=1) as executor:
        await executor.ensure(task(uid="a", seconds=60))
        bad = task(uid="bad", env={"X": "\0"})
        await executor.ensure(bad)
        await executor.ensure(task(uid="c", seconds=60))
        await executor.remove("a")
        await running(executor, "c")
        state = await executor.observe("bad")
        assert state is not None
        assert (state.phase, state.name) == (TaskPhase.PENDING, bad.name)
        changes = executor.watch()
        async with asyncio.timeout(10):
            while await anext(changes) != "bad":
                pass
        await executor.remove("c")
        with pytest.raises(InvalidError):
            await executor.ensure(bad)
        assert await executor.observe("bad") is None


async def test_a_refused_watcher_receives_no_change(processes: ProcessManager) -> None:
    """It would be asked again at once, and again."""
    async with local(processes) as executor:
        changes = executor.watch()
        await executor.ensure(task(uid="a", seconds=60))
        assert await anext(changes) == "a"
        with pytest.raises(InvalidError):
            await executor.ensure(task(uid="bad", env={"X": "\0"}))
        await executor.remove("a")
        async with asyncio.timeout(10):
            assert await anext(changes) == "a"


async def test_a_namespace_with_many_tasks_delays_the_others_by_one(processes: ProcessManager) -> None:
    async with local(processes, slots=1) as executor:
        for uid in ("a1", "a2", "a3"):
            await executor.ensure(task(uid=uid, seconds=60))
        await executor.ensure(replace(task(uid="b1", seconds=60), namespace="other"))
        await executor.remove("a1")
        await running(executor, "b1")
        await executor.remove("b1")
        await running(executor, "a2")
        for uid in ("a2", "a3"):
            await executor.remove(uid)
