"""What every executor does, whatever it runs tasks on.

An implementation's test inherits `ExecutorContract` and gives the fixture `executor`: one that runs `COMMAND` for its
tasks, and has places for three of them.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

from klever.errors import NotFoundError
from klever.executors import Executor, Task, TaskPhase, TaskState

_PROGRAM = """
import json, os, pathlib, sys, time
spec = json.load(open(sys.argv[-1]))["inputs"]
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
COMMAND = (sys.executable, "-c", _PROGRAM)
_ENDED = (TaskPhase.SUCCEEDED, TaskPhase.FAILED)
_numbers = itertools.count()


def task(*, uid: str = "", env: dict[str, str] | None = None, **spec: Any) -> Task:
    """A task that prints `lines` and the variables `show`, allocates, sleeps, waits for the file `until`, leaves
    `outcome`, exits with `code`.
    """
    number = next(_numbers)
    variables = tuple({"name": name, "value": value} for name, value in (env or {}).items())
    return Task("team", f"job-{number}", uid or f"uid-{number}", "module", spec, env=variables, timeout_s=60)


async def ended(executor: Executor, uid: str) -> TaskState:
    """The task's state once it has ended."""
    async with asyncio.timeout(60):
        async for changed in executor.watch():
            state = await executor.get(uid) if changed == uid else None
            if state and state.phase in _ENDED:
                return state
    raise AssertionError("a watch does not end")


async def running(executor: Executor, uid: str) -> TaskState:
    """The task's state once it runs."""
    async with asyncio.timeout(60):
        async for changed in executor.watch():
            state = await executor.get(uid) if changed == uid else None
            if state and state.phase is TaskPhase.RUNNING:
                return state
    raise AssertionError("a watch does not end")


class ExecutorContract:
    """Inherit it."""

    async def test_a_task_that_it_does_not_support_is_refused_by_its_fields(self, executor: Executor) -> None:
        assert executor.check(task(env={"A": "b"})) == ()
        assert [violation.field for violation in executor.check(task(env={"A": "\0"}))] == ["env[A].value"]

    async def test_carries_the_result_of_a_task(self, executor: Executor) -> None:
        outcome = {"exitCode": 0, "message": "read", "result": {"digest": "sha256:1", "report": "ä"}}
        work = task(outcome=outcome)
        await executor.start(work)
        state = await ended(executor, work.uid)
        assert (state.namespace, state.name, state.uid) == (work.namespace, work.name, work.uid)
        assert (state.phase, state.exit_code, state.message) == (TaskPhase.SUCCEEDED, 0, "read")
        assert state.result == outcome["result"]
        assert state.started_at is not None
        assert state.finished_at is not None
        assert state.started_at <= state.finished_at

    async def test_carries_the_real_exit_code(self, executor: Executor) -> None:
        work = task(outcome={"exitCode": 10001, "message": "no such tag", "reason": "PullFailed"}, code=1)
        await executor.start(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.exit_code) == (TaskPhase.FAILED, 10001)
        assert (state.reason, state.message) == ("PullFailed", "no such tag")

    async def test_tells_of_a_crash(self, executor: Executor) -> None:
        work = task(lines=["so far", "so good"], code=3)
        await executor.start(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.exit_code, state.reason) == (TaskPhase.FAILED, 3, "Error")
        assert "so good" in state.message

    async def test_runs_a_task_once(self, executor: Executor) -> None:
        work = task(lines=["ran"], uid="only-one")
        await asyncio.gather(*(executor.start(work) for _ in range(3)))
        await ended(executor, work.uid)
        await executor.start(work)
        assert [line async for line in executor.logs(work.uid)] == ["ran"]

    async def test_ends_what_runs_too_long(self, executor: Executor) -> None:
        work = Task("team", "slow", "slow", "module", {"seconds": 60}, timeout_s=0.5)
        await executor.start(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "DeadlineExceeded")
        assert state.message

    async def test_ends_what_takes_too_much_memory(self, executor: Executor) -> None:
        work = Task("team", "big", "big", "module", {"megabytes": 200, "seconds": 60}, memory_bytes=100 << 20)
        await executor.start(work)
        state = await ended(executor, work.uid)
        assert (state.phase, state.reason, state.exit_code) == (TaskPhase.FAILED, "OOMKilled", 137)

    async def test_deletes_what_runs(self, executor: Executor) -> None:
        work = task(seconds=60)
        await executor.start(work)
        await running(executor, work.uid)
        await executor.delete(work.uid)
        assert await executor.get(work.uid) is None
        assert await executor.list() == ()
        with pytest.raises(NotFoundError):
            executor.logs(work.uid)

    async def test_deletes_what_has_ended(self, executor: Executor) -> None:
        work = task()
        await executor.start(work)
        await ended(executor, work.uid)
        await executor.delete(work.uid)
        assert await executor.list() == ()

    async def test_knows_nothing_of_others(self, executor: Executor) -> None:
        assert await executor.get("unknown") is None
        await executor.delete("unknown")
        with pytest.raises(NotFoundError):
            executor.logs("unknown")

    async def test_gives_a_task_its_environment(self, executor: Executor) -> None:
        work = task(env={"GREETING": "hällo wörld"}, show=["GREETING", "KLEVER_DATA"])
        await executor.start(work)
        await ended(executor, work.uid)
        assert [line async for line in executor.logs(work.uid)] == ["hällo wörld", "None"]

    async def test_follows_the_log_until_the_end(self, executor: Executor, tmp_path: Path) -> None:
        work = task(lines=["one", "two", "three"], until=str(tmp_path / "go"))
        await executor.start(work)
        await running(executor, work.uid)
        async with asyncio.timeout(60):
            told = executor.logs(work.uid, follow=True)
            assert [await anext(told) for _ in range(3)] == ["one", "two", "three"]
            (tmp_path / "go").touch()
            assert [line async for line in told] == []
        assert [line async for line in executor.logs(work.uid, tail=2)] == ["two", "three"]

    async def test_lists_and_watches_all(self, executor: Executor) -> None:
        works = [task(), task(code=1)]
        for work in works:
            await executor.start(work)
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
        await executor.start(work)
        changes = executor.watch()
        async with asyncio.timeout(60):
            assert await anext(changes) == work.uid
            deletion = asyncio.create_task(executor.delete(work.uid))
            while await anext(changes) != work.uid or await executor.get(work.uid) is not None:
                pass  # it may be told of what came before
            await deletion
