"""What every executor does, whatever it runs tasks on.

An implementation's test inherits `ExecutorContract` and gives the fixture `executor`: one that runs `COMMAND` for its
tasks, has places for three of them, and has the environment `ENVIRONMENT`, with nothing but Python in it. If its
tasks see other files than the tests, it also overrides the fixtures `program` and `gate`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from klever.errors import NotFoundError
from klever.executors import Executor, Task, TaskPhase, TaskState

TOY = """
import json, os, pathlib, sys, time
document = json.load(open(sys.argv[-1]))
spec = document["inputs"]
if document["step"] == "fetch":
    print("fetch", flush=True)
    os.mkdir("input")
    pathlib.Path("input/request.json").write_text(json.dumps(spec))
    spec = {"outcome": {"exitCode": 0, "result": {"of": "fetch"}}}
if document["step"] == "push":
    print("push", flush=True)
    result = {"of": "push", "read": pathlib.Path("output/written").read_text()}
    spec = {"outcome": {"exitCode": 0, "result": result}}
for line in spec.get("lines", []):
    print(line, flush=True)
for name in spec.get("show", []):
    print(os.environ.get(name), flush=True)
memory = b"x" * (spec.get("megabytes", 0) << 20)
time.sleep(spec.get("seconds", 0))
while not pathlib.Path(spec.get("until", "/")).exists():
    time.sleep(0.02)  # this is the task, not the test: it works until the test lets it end
if "outcome" in spec:
    with open(os.environ["KLEVER_TERMINATION_LOG"], "w") as file:
        json.dump(spec["outcome"], file)
sys.exit(spec.get("code", 0))
"""
COMMAND = (sys.executable, "-c", TOY)
ENVIRONMENT = "toy"
PROGRAM = """
import json, os, pathlib, sys, time
print("work", flush=True)
request = json.loads(pathlib.Path(sys.argv[1]).read_text())
while not pathlib.Path(request.get("until", "/")).exists():
    time.sleep(0.02)  # this is the task, not the test: it works until the test lets it end
outcome = {"exitCode": 10001, "reason": "Mine", "result": {"of": "work"}}
pathlib.Path(os.environ["KLEVER_TERMINATION_LOG"]).write_text(json.dumps(outcome))
pathlib.Path("written").write_text("by the program")
sys.exit(request.get("code", 0))
"""
"""The program of a task in three steps: it waits for the file `until` and exits with `code`."""
_ENDED = (TaskPhase.SUCCEEDED, TaskPhase.FAILED)
_numbers = itertools.count()


def task(*, uid: str = "", env: dict[str, str] | None = None, **spec: Any) -> Task:
    """A task that prints `lines` and the variables `show`, allocates, sleeps, waits for the file `until`, leaves
    `outcome`, exits with `code`.
    """
    number = next(_numbers)
    variables = tuple({"name": name, "value": value} for name, value in (env or {}).items())
    return Task("team", f"job-{number}", uid or f"uid-{number}", "module", spec, env=variables, timeout_s=60)


def in_steps(program: str, *, environment: str = ENVIRONMENT, **request: Any) -> Task:
    """A task whose steps are fetch, `program` with `request`, and push."""
    return replace(task(**request), program=program, environment=environment)


async def ended(executor: Executor, uid: str) -> TaskState:
    """The task's state once it has ended."""
    async with asyncio.timeout(60):
        async for changed in executor.watch():
            state = await executor.observe(uid) if changed == uid else None
            if state and state.phase in _ENDED:
                return state
    raise AssertionError("a watch does not end")


async def running(executor: Executor, uid: str) -> TaskState:
    """The task's state once it runs."""
    async with asyncio.timeout(60):
        async for changed in executor.watch():
            state = await executor.observe(uid) if changed == uid else None
            if state and state.phase is TaskPhase.RUNNING:
                return state
    raise AssertionError("a watch does not end")


async def logged(executor: Executor, uid: str, line: str) -> None:
    """Return once the task has written a line."""
    async with asyncio.timeout(60):
        async for changed in executor.watch():
            state = await executor.observe(uid) if changed == uid else None
            if state and state.phase is not TaskPhase.PENDING:
                break
        async for found in executor.logs(uid, follow=True):
            if found == line:
                return
    raise AssertionError(f"the task ended without the line {line!r}")


@dataclass(frozen=True, slots=True)
class Gate:
    """The path of a file, as a task sees it, and what makes it."""

    path: str
    open: Callable[[], Awaitable[None]]


class ExecutorContract:
    """Inherit it."""

    @pytest.fixture
    def program(self, tmp_path: Path) -> str:
        """The path of `PROGRAM`, as a task names it."""
        path = tmp_path / "program.py"
        path.write_text(PROGRAM)
        return str(path)

    @pytest.fixture
    def gate(self, tmp_path: Path) -> Gate:
        """A file that a task of one step waits for."""
        path = tmp_path / "go"

        async def open_() -> None:
            path.touch()

        return Gate(str(path), open_)

    async def test_a_task_that_it_does_not_support_is_refused_by_its_fields(self, executor: Executor) -> None:
        assert executor.check(task(env={"A": "b"})) == ()
        assert [violation.field for violation in executor.check(task(env={"A": "\0"}))] == ["env[A].value"]

    async def test_carries_the_result_of_a_task(self, executor: Executor) -> None:
        outcome = {"exitCode": 0, "message": "read", "result": {"digest": "sha256:1", "report": "ä"}}
        work = task(outcome=outcome)
        await executor.ensure(work)
        state = await ended(executor, work.uid)
        assert (state.namespace, state.name, state.uid) == (work.namespace, work.name, work.uid)
        assert (state.phase, state.exit_code, state.message) == (TaskPhase.SUCCEEDED, 0, "read")
        assert state.result == outcome["result"]
        assert state.started_at is not None
        assert state.finished_at is not None
        assert state.started_at <= state.finished_at

    async def test_carries_the_real_exit_code(self, executor: Executor) -> None:
        work = task(outcome={"exitCode": 10001, "message": "no such tag", "reason": "PullFailed"}, code=1)
        await executor.ensure(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.exit_code) == (TaskPhase.FAILED, 10001)
        assert (state.reason, state.message) == ("PullFailed", "no such tag")

    async def test_tells_of_a_crash(self, executor: Executor) -> None:
        work = task(lines=["so far", "so good"], code=3)
        await executor.ensure(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.exit_code, state.reason) == (TaskPhase.FAILED, 3, "Error")
        assert "so good" in state.message

    async def test_runs_a_task_once(self, executor: Executor) -> None:
        work = task(lines=["ran"], uid="only-one")
        await asyncio.gather(*(executor.ensure(work) for _ in range(3)))
        await ended(executor, work.uid)
        await executor.ensure(work)
        assert [line async for line in executor.logs(work.uid)] == ["ran"]

    async def test_ends_what_runs_too_long(self, executor: Executor) -> None:
        work = Task("team", "slow", "slow", "module", {"seconds": 60}, timeout_s=0.5)
        await executor.ensure(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "DeadlineExceeded")
        assert state.message

    async def test_ends_what_takes_too_much_memory(self, executor: Executor) -> None:
        work = Task("team", "big", "big", "module", {"megabytes": 200, "seconds": 60}, memory_bytes=100 << 20)
        await executor.ensure(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.reason, state.exit_code) == (TaskPhase.FAILED, "OOMKilled", 137)

    async def test_deletes_what_runs(self, executor: Executor) -> None:
        work = task(seconds=60)
        await executor.ensure(work)
        await running(executor, work.uid)
        await executor.remove(work.uid)
        assert await executor.observe(work.uid) is None
        assert await executor.list() == ()
        with pytest.raises(NotFoundError):
            executor.logs(work.uid)

    async def test_deletes_what_has_ended(self, executor: Executor) -> None:
        work = task()
        await executor.ensure(work)
        await ended(executor, work.uid)
        await executor.remove(work.uid)
        assert await executor.list() == ()

    async def test_knows_nothing_of_others(self, executor: Executor) -> None:
        assert await executor.observe("unknown") is None
        await executor.remove("unknown")
        with pytest.raises(NotFoundError):
            executor.logs("unknown")

    async def test_gives_a_task_its_environment(self, executor: Executor) -> None:
        work = task(env={"GREETING": "hällo wörld"}, show=["GREETING", "KLEVER_DATA"])
        await executor.ensure(work)
        await ended(executor, work.uid)
        assert [line async for line in executor.logs(work.uid)] == ["hällo wörld", "None"]

    async def test_follows_the_log_until_the_end(self, executor: Executor, gate: Gate) -> None:
        work = task(lines=["one", "two", "three"], until=gate.path)
        await executor.ensure(work)
        await running(executor, work.uid)
        async with asyncio.timeout(60):
            told = executor.logs(work.uid, follow=True)
            assert [await anext(told) for _ in range(3)] == ["one", "two", "three"]
            await gate.open()
            assert [line async for line in told] == []
        assert [line async for line in executor.logs(work.uid, tail=2)] == ["two", "three"]

    async def test_lists_and_watches_all(self, executor: Executor) -> None:
        works = [task(), task(code=1)]
        for work in works:
            await executor.ensure(work)
        for work in works:
            await ended(executor, work.uid)
        states = await executor.list()
        assert [state.uid for state in states] == sorted(work.uid for work in works)
        assert {state.phase for state in states} == set(_ENDED)
        seen: set[str] = set()
        async with asyncio.timeout(60):
            async for changed in executor.watch():
                seen.add(changed)
                if len(seen) == len(works):
                    break
        assert seen == {work.uid for work in works}

    async def test_watch_tells_of_a_deletion(self, executor: Executor) -> None:
        work = task(seconds=60)
        await executor.ensure(work)
        changes = executor.watch()
        async with asyncio.timeout(60):
            assert await anext(changes) == work.uid
            deletion = asyncio.create_task(executor.remove(work.uid))
            while await anext(changes) != work.uid or await executor.observe(work.uid) is not None:
                pass  # it may be told of what came before
            await deletion

    async def test_cancels_what_runs_and_keeps_its_log(self, executor: Executor) -> None:
        work = task(lines=["so far"], seconds=60)
        await executor.ensure(work)
        await logged(executor, work.uid, "so far")
        await executor.cancel(work.uid)
        state = await executor.observe(work.uid)
        assert state is not None
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "Killed")
        assert [line async for line in executor.logs(work.uid)] == ["so far"]
        await executor.ensure(work)
        assert await executor.observe(work.uid) == state
        await executor.cancel("unknown")

    async def test_the_steps_of_a_task_share_a_directory(self, executor: Executor, program: str) -> None:
        work = in_steps(program)
        await executor.ensure(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.result) == (TaskPhase.SUCCEEDED, {"of": "push", "read": "by the program"})
        assert [line async for line in executor.logs(work.uid)] == ["fetch", "work", "push"]
        await executor.remove(work.uid)
        assert await executor.list() == ()

    async def test_a_program_that_fails_ends_the_task_and_is_not_believed(
        self, executor: Executor, program: str
    ) -> None:
        work = in_steps(program, code=1)
        await executor.ensure(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.reason, state.exit_code, state.result) == (TaskPhase.FAILED, "Error", 1, {})
        assert [line async for line in executor.logs(work.uid)] == ["fetch", "work"]

    async def test_a_task_whose_environment_does_not_exist_fails(self, executor: Executor, program: str) -> None:
        work = in_steps(program, environment="no-such-environment")
        await executor.ensure(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "StartError")
        assert "no-such-environment" in state.message

    @pytest.mark.parametrize("line", ["fetch", "work"])
    async def test_no_step_follows_once_a_task_is_cancelled(self, executor: Executor, program: str, line: str) -> None:
        work = in_steps(program, until="/never")
        await executor.ensure(work)
        await logged(executor, work.uid, line)
        await executor.cancel(work.uid)
        state = await executor.observe(work.uid)
        assert state is not None
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "Killed")
        assert "push" not in [line async for line in executor.logs(work.uid)]

    async def test_removes_a_task_between_its_steps(self, executor: Executor, program: str) -> None:
        work = in_steps(program, until="/never")
        await executor.ensure(work)
        await running(executor, work.uid)
        await executor.remove(work.uid)
        assert await executor.observe(work.uid) is None
        assert await executor.list() == ()
