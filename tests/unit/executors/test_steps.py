"""Tasks in steps: fetch, a program in the Python of an environment, push."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from klever.environments import EnvironmentManager
from klever.environments.table import Environment
from klever.executors import RegistryAccess, Task, TaskPhase, TaskState
from klever.executors.local import LocalExecutor, Provision
from klever.process import ProcessManager
from tests.contract.executor import ended, running

_PLATFORM = """
import json, os, pathlib, sys
document = json.load(open(sys.argv[-1]))
print(document["step"], document["secrets"], flush=True)
if document["step"] == "fetch":
    os.mkdir("input")
    pathlib.Path("input/request.json").write_text("{}")
    outcome = {"exitCode": 0, "result": {"of": "fetch"}}
else:
    outcome = {"exitCode": 0, "result": {"of": "push", "read": pathlib.Path("output/written").read_text()}}
pathlib.Path(os.environ["KLEVER_TERMINATION_LOG"]).write_text(json.dumps(outcome))
"""
_PROGRAM = """
import json, os, pathlib, sys, time
print("work", sys.argv[1].endswith("input/request.json"), os.environ["WISH"], flush=True)
while os.environ["WISH"].startswith("/") and not pathlib.Path(os.environ["WISH"]).exists():
    time.sleep(0.02)  # this is the task, not the test: it works until the test lets it end
outcome = {"exitCode": 10001, "reason": "Mine", "result": {"of": "work"}}
pathlib.Path(os.environ["KLEVER_TERMINATION_LOG"]).write_text(json.dumps(outcome))
pathlib.Path("written").write_text("by the program")
sys.exit(os.environ["WISH"] == "fail")
"""


class World:
    """A machine whose executors have the environment `toy`, with nothing in it but Python."""

    def __init__(self, root: Path, processes: ProcessManager) -> None:
        self.root = root
        self.processes = processes
        self.program = root / "program.py"
        self.program.write_text(_PROGRAM)
        lock = root / "toy.txt"
        lock.write_text("# nothing\n")
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self.environments = EnvironmentManager(root / "environments", {"toy": Environment("toy", "", (python,), lock)})

    def executor(self) -> LocalExecutor:
        command = (sys.executable, "-c", _PLATFORM)
        return LocalExecutor(
            ProcessManager(self.processes.root), command, env={}, environments=self.environments, provide=_provide
        )

    def task(self, wish: str, environment: str = "toy") -> Task:
        registries = (RegistryAccess("", "team/m"), RegistryAccess("", "team/m", push=True))
        return Task(
            *("team", "job", "uid", "module", {}),
            registries=registries,
            environment=environment,
            program=str(self.program),
            env=({"name": "WISH", "value": wish},),
            timeout_s=60,
        )


def _provide(task: Task) -> Provision:
    return Provision({"push": any(access.push for access in task.registries)})


@pytest.fixture
def world(tmp_path: Path, processes: ProcessManager) -> World:
    return World(tmp_path, processes)


async def log(executor: LocalExecutor) -> list[str]:
    return [line async for line in executor.logs("uid")]


async def end(executor: LocalExecutor, task: Task) -> TaskState:
    await executor.start(task)
    return await ended(executor, "uid")


async def test_the_steps_share_a_directory_and_only_the_platforms_have_secrets(world: World) -> None:
    async with world.executor() as executor:
        state = await end(executor, world.task("succeed"))
        assert (state.phase, state.result) == (TaskPhase.SUCCEEDED, {"of": "push", "read": "by the program"})
        assert await log(executor) == ["fetch {'push': False}", "work True succeed", "push {'push': True}"]
        await executor.delete("uid")
        assert await executor.list() == ()


async def test_a_program_that_fails_ends_the_task_and_is_not_believed(world: World) -> None:
    async with world.executor() as executor:
        state = await end(executor, world.task("fail"))
        assert (state.phase, state.reason, state.exit_code, state.result) == (TaskPhase.FAILED, "Error", 1, {})
        assert await log(executor) == ["fetch {'push': False}", "work True fail"]


async def test_a_task_whose_environment_does_not_exist_fails(world: World) -> None:
    async with world.executor() as executor:
        state = await end(executor, world.task("succeed", environment="other"))
        assert (state.phase, state.reason) == (TaskPhase.FAILED, "StartError")
        assert "other" in state.message


async def test_a_restarted_control_plane_goes_on_with_the_next_step(world: World) -> None:
    go = world.root / "go"
    async with world.executor() as executor:
        await executor.start(world.task(str(go)))
        await running(executor, "uid")
        async with asyncio.timeout(60):
            while len(await log(executor)) < 2:  # noqa: ASYNC110 - no line is told
                await asyncio.sleep(0.05)
    go.touch()
    async with world.executor() as executor:
        state = await ended(executor, "uid")
        assert (state.phase, state.result["of"]) == (TaskPhase.SUCCEEDED, "push")
        assert [line.split()[0] for line in await log(executor)] == ["fetch", "work", "push"]


async def test_a_task_is_deleted_between_its_steps(world: World) -> None:
    async with world.executor() as executor:
        await executor.start(world.task(str(world.root / "never")))
        await running(executor, "uid")
        await executor.delete("uid")
        assert await executor.get("uid") is None
        assert await executor.list() == ()
