"""What an owner of processes sees: real programs, started, watched, stopped, found again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from klever.errors import InvalidError, NotFoundError
from klever.process import ProcessManager, ProcessSpec, ProcessState
from klever.process.logs import _Log
from klever.process.shim.proc import start_ticks

Ended = Callable[[ProcessManager, str], Awaitable[ProcessState]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

PATH = {"PATH": "/usr/bin:/bin"}


def shell(script: str, name: str = "job", **rest: object) -> ProcessSpec:
    return ProcessSpec(name, ("sh", "-c", script), PATH, **rest)  # type: ignore[arg-type]


async def lines(manager: ProcessManager, name: str, **rest: object) -> list[str]:
    return [line async for line in manager.logs(name, **rest)]  # type: ignore[arg-type]


async def test_tells_how_a_process_ended(processes: ProcessManager, ended: Ended) -> None:
    before = datetime.now(UTC)
    started = await processes.start(shell("echo out; echo err >&2; exit 7"))
    assert started.phase in {"Running", "Exited"}
    state = await ended(processes, "job")
    assert (state.exit_code, state.reason, state.pid) == (7, "Error", None)
    assert state.message == "exit code 7\nout\nerr"
    assert state.started_at is not None
    assert state.exited_at is not None
    assert before - timedelta(seconds=1) < state.started_at <= state.exited_at <= datetime.now(UTC)
    assert await lines(processes, "job") == ["out", "err"]


async def test_carries_the_termination_message(processes: ProcessManager, ended: Ended) -> None:
    await processes.start(shell('printf %5000s x > "$KLEVER_TERMINATION_LOG"; echo {} > "$KLEVER_TERMINATION_LOG"'))
    state = await ended(processes, "job")
    assert (state.exit_code, state.reason, state.message) == (0, "Completed", "{}")


async def test_bounds_the_termination_message(processes: ProcessManager, ended: Ended) -> None:
    await processes.start(shell('head -c 100000 /dev/zero | tr "\\0" "\\1" > "$KLEVER_TERMINATION_LOG"; exit 1'))
    state = await ended(processes, "job")
    assert state.message == "\1" * 4096


async def test_gives_the_environment_that_was_named_and_no_more(processes: ProcessManager, ended: Ended) -> None:
    spec = ProcessSpec("env", ("/usr/bin/env",), {"A": "1", "UMLAUT": "ä\n"})
    await processes.start(spec)
    await ended(processes, "env")
    directory = processes.directory("env")
    assert sorted(await lines(processes, "env")) == sorted(
        [f"KLEVER_PROCESS={directory}", f"KLEVER_TERMINATION_LOG={directory}/termination", "A=1", "UMLAUT=ä", ""]
    )


async def test_leaks_no_descriptors_and_ignores_no_signals(processes: ProcessManager, ended: Ended) -> None:
    await processes.start(shell("ls /proc/self/fd | wc -l; grep SigIgn /proc/self/status; pwd"))
    await ended(processes, "job")
    descriptors, ignored, directory = await lines(processes, "job")
    assert (descriptors, directory) == ("4", "/")  # 3 is ls's own
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0  # above 31: the C library's own, inherited


async def test_runs_in_the_directory_named(processes: ProcessManager, ended: Ended, tmp_path: Path) -> None:
    await processes.start(shell("pwd", cwd=tmp_path))
    await ended(processes, "job")
    assert await lines(processes, "job") == [str(tmp_path)]


async def test_says_why_a_program_cannot_be_started(processes: ProcessManager) -> None:
    missing = await processes.start(ProcessSpec("missing", ("/no/such/program",)))
    assert (missing.phase, missing.reason, missing.exit_code) == ("Exited", "StartError", 127)
    assert "/no/such/program" in missing.message
    nowhere = await processes.start(shell("true", "nowhere", cwd=Path("/no/such/directory")))
    assert nowhere.reason == "StartError"
    assert "/no/such/directory" in nowhere.message


async def test_starts_a_living_process_once(processes: ProcessManager) -> None:
    states = await asyncio.gather(*(processes.start(shell("exec sleep 60")) for _ in range(4)))
    assert len({state.pid for state in states}) == 1
    assert await processes.start(shell("exit 1")) == states[0]


async def test_a_start_waits_for_the_shim_of_another(processes: ProcessManager) -> None:
    """Its record appears before its process runs."""
    for _ in range(5):
        first = asyncio.ensure_future(processes.start(shell("exec sleep 60")))
        while processes.get("job") is None:  # noqa: ASYNC110 - nothing tells of the first record
            await asyncio.sleep(0)
        second = await processes.start(shell("exec sleep 60"))
        assert second.phase == "Running"
        assert second == await first
        await processes.remove("job")


async def test_starts_an_ended_process_anew(processes: ProcessManager, ended: Ended) -> None:
    for _ in range(2):
        await processes.start(shell("echo once more; exit 1"))
        await ended(processes, "job")
    await processes.start(shell("exec sleep 60"))
    state = processes.get("job")
    assert state is not None
    assert (state.phase, state.reason, state.message, state.exit_code) == ("Running", "", "", None)
    assert await lines(processes, "job") == ["once more", "once more"]


async def test_stops_with_sigterm_first(processes: ProcessManager) -> None:
    await processes.start(shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done"))
    async for line in processes.logs("job", follow=True):
        if line == "up":
            await processes.stop("job")
    state = processes.get("job")
    assert state is not None
    assert (state.phase, state.reason, state.exit_code) == ("Exited", "Completed", 0)
    assert await lines(processes, "job") == ["up", "bye"]


@pytest.mark.parametrize("grace_s", [None, 0.05], ids=["of the specification", "of the call"])
async def test_kills_what_ignores_sigterm(processes: ProcessManager, grace_s: float | None) -> None:
    spec = shell("trap '' TERM; echo up; sleep 60", grace_s=30 if grace_s else 0.05)
    await processes.start(spec)
    async with asyncio.timeout(10):
        async for _ in processes.logs("job", follow=True):
            await processes.stop("job", grace_s=grace_s)
    state = processes.get("job")
    assert state is not None
    assert (state.reason, state.exit_code) == ("Killed", 128 + signal.SIGKILL)


async def test_stopping_or_removing_what_is_not_there_is_no_error(processes: ProcessManager) -> None:
    await processes.stop("nothing")
    await processes.remove("nothing")
    assert processes.get("nothing") is None
    assert processes.list() == []
    with pytest.raises(NotFoundError):
        processes.logs("nothing")


async def test_removes_everything(processes: ProcessManager) -> None:
    (processes.directory("job") / "files").mkdir(parents=True)
    state = await processes.start(shell("exec sleep 60"))
    await processes.remove("job")
    assert not processes.directory("job").exists()
    assert processes.list() == []
    assert start_ticks(state.pid or 0) is None


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "ä", "a\n", "-x", "x" * 201, "a\0b"])
async def test_refuses_an_id_that_is_no_file_name(processes: ProcessManager, name: str) -> None:
    with pytest.raises(InvalidError):
        shell("true", name)
    with pytest.raises(InvalidError):
        processes.get(name)


@pytest.mark.parametrize("spec", [{"argv": ()}, {"argv": ("a\0",)}, {"argv": ("a",), "log_bytes": 0}])
def test_refuses_a_specification_that_cannot_work(spec: dict[str, object]) -> None:
    with pytest.raises(InvalidError):
        ProcessSpec("job", **spec)  # type: ignore[arg-type]


async def test_another_manager_finds_the_same(processes: ProcessManager) -> None:
    spec = ProcessSpec(
        "job", ("sleep", "60"), PATH, Path("/"), {"serving": "default/digits"}, True, 3.0, 90.0, 1 << 40, 2.0, 1 << 20
    )
    started = await processes.start(spec)
    assert started.spec == spec
    assert ProcessManager(processes.root).list() == [started]


async def test_watch_tells_of_all_and_then_of_changes(processes: ProcessManager, tmp_path: Path) -> None:
    await processes.start(shell("exec sleep 60", "old"))
    changes = processes.watch()
    go = tmp_path / "go"
    async with asyncio.timeout(20):
        assert await anext(changes) == "old"
        await processes.start(shell(f"while ! [ -e {go} ]; do sleep 0.02; done", "new"))
        assert await anext(changes) == "new"
        go.touch()  # two changes that nobody heard of would be one
        assert await anext(changes) == "new"
        state = processes.get("new")
        assert state is not None
        assert state.exited_at is not None
        assert datetime.now(UTC) - state.exited_at < timedelta(seconds=0.5)
        await processes.remove("old")
        assert await anext(changes) == "old"


def test_reading_a_closed_log_opens_no_file(tmp_path: Path) -> None:
    """A thread still reads where its reader was cancelled; what it opened was left open."""
    (tmp_path / "log").write_text("up\n")
    with closing(_Log(tmp_path)) as log:
        assert log.read() == ["up"]
    log = _Log(tmp_path)
    log.close()
    assert log.read() == []


async def test_restarts_a_child_that_ends(processes: ProcessManager, eventually: Eventually) -> None:
    first = await processes.start(shell("echo up; exec sleep 60", restart=True))
    assert first.pid is not None

    def came_back() -> bool:
        state = processes.get("job")
        return state is not None and state.phase == "Running" and state.restarts == 1

    said = processes.logs("job", follow=True)
    async with asyncio.timeout(20):
        assert await anext(said) == "up"  # before it is killed
        os.kill(first.pid, signal.SIGKILL)
        await eventually(came_back)
        assert await anext(said) == "up"
    await processes.stop("job")
    assert await lines(processes, "job") == ["up", "up"]


async def test_backs_off_while_a_child_keeps_failing(processes: ProcessManager, eventually: Eventually) -> None:
    await processes.start(shell("echo no; exit 1", restart=True))
    seen: list[ProcessState | None] = []

    def waits_again() -> bool:
        seen[:] = [state := processes.get("job")]
        return state is not None and state.restarts >= 2 and state.phase == "Starting"

    await eventually(waits_again)
    (state,) = seen
    assert state is not None
    assert (state.reason, state.exit_code) == ("Error", 1)
    await processes.stop("job")
    state = processes.get("job")
    assert state is not None
    assert state.phase == "Exited"


@pytest.mark.slow
async def test_runs_many(processes: ProcessManager) -> None:
    names = [f"p{number:02}" for number in range(20)]
    await asyncio.gather(*(processes.start(shell("exec sleep 60", name)) for name in names))
    assert [(state.spec.id, state.phase) for state in processes.list()] == [(name, "Running") for name in names]
    await asyncio.gather(*map(processes.remove, names))
    assert processes.list() == []


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


async def test_a_shim_is_small(processes: ProcessManager) -> None:
    await processes.start(shell("echo $PPID; exec sleep 60"))
    async for shim in processes.logs("job", follow=True):
        assert resident_kib(int(shim)) < 10 << 10
        break
