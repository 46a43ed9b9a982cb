"""Kill -9 of the control plane, the shim and the child; descendants, zombies and a full disk."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from klever.errors import DeadlineError, ExhaustedError
from klever.process import ProcessManager, ProcessSpec, ProcessState, launch, manager
from klever.process.record import Run
from klever.process.shim.proc import start_ticks

Ended = Callable[[ProcessManager, str], Awaitable[ProcessState]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

PATH = {"PATH": "/usr/bin:/bin"}

CONTROL_PLANE = """
import asyncio, ctypes, os, sys
from pathlib import Path
from klever.process import ProcessManager, ProcessSpec

async def main():
    manager = ProcessManager(Path(sys.argv[1]))
    for n in range(3):
        argv = ("sh", "-c", "echo $$; while ! [ -e %s ]; do sleep 0.02; done; exit 5" % sys.argv[2])
        await manager.start(ProcessSpec(f"p{n}", argv, {"PATH": "/usr/bin:/bin"}))
    print("up", flush=True)
    await asyncio.sleep(60)

ctypes.CDLL(None).prctl(36, int(sys.argv[3]), 0, 0, 0)
asyncio.run(main())
"""


def control_plane(root: Path, go: Path, *, subreaper: bool = False) -> subprocess.Popen[str]:
    """Another process that has started p0, p1, p2, which end with code 5 once the file `go` exists."""
    code = [sys.executable, "-c", CONTROL_PLANE, str(root), str(go), str(int(subreaper))]
    process = subprocess.Popen(code, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def parent(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_a_killed_control_plane_leaves_its_processes_and_finds_them(
    processes: ProcessManager, ended: Ended, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    end(control_plane(processes.root, go))
    found = processes.list()
    assert [(state.spec.id, state.phase) for state in found] == [(f"p{n}", "Running") for n in range(3)]
    assert [await processes.start(state.spec) for state in found] == found
    await processes.stop("p2")
    go.touch()
    assert (await ended(processes, "p0")).exit_code == 5
    assert (await ended(processes, "p1")).exit_code == 5


async def test_an_unobserved_end_is_known(processes: ProcessManager, eventually: Eventually, tmp_path: Path) -> None:
    go = tmp_path / "go"
    end(control_plane(processes.root, go))
    pids = [state.pid or 0 for state in processes.list()]
    go.touch()
    await eventually(lambda: not any(map(start_ticks, pids)))
    await eventually(lambda: [state.exit_code for state in processes.list()] == [5, 5, 5])


async def test_a_killed_child_is_told(processes: ProcessManager, ended: Ended) -> None:
    state = await processes.start(ProcessSpec("job", ("sh", "-c", "echo last words; exec sleep 60"), PATH))
    assert state.pid is not None
    async for _ in processes.logs("job", follow=True):
        break
    os.kill(state.pid, signal.SIGKILL)
    state = await ended(processes, "job")
    assert (state.exit_code, state.reason) == (137, "Error")
    assert state.message == "killed by SIGKILL\nlast words"


DESCENDANTS = """if True:
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for leave in (lambda: None, os.setsid, lambda: os._exit(0) if os.fork() else os.setsid()):
        if not os.fork():
            leave()
            print(os.getpid(), flush=True)
            time.sleep(60)
    os.wait()
    print("all", flush=True)
"""


async def descendants(manager: ProcessManager, then: str) -> list[int]:
    """Start a process that has three descendants, one of its own session, one of them adopted by the shim."""
    await manager.start(ProcessSpec("job", (sys.executable, "-c", DESCENDANTS + then), PATH))
    pids = []
    async with asyncio.timeout(20):
        async for line in manager.logs("job", follow=True):
            if line != "all":
                pids.append(int(line))
            elif len(pids) == 3:
                break
            if len(pids) == 3 and then:
                break
    return pids


async def test_no_descendant_survives_the_end_of_a_process(processes: ProcessManager, ended: Ended) -> None:
    pids = await descendants(processes, "    time.sleep(0.2)")
    assert (await ended(processes, "job")).reason == "Completed"
    assert [start_ticks(pid) for pid in pids] == [None] * 3


async def test_no_descendant_survives_a_stop(processes: ProcessManager) -> None:
    pids = await descendants(processes, "    time.sleep(60)")
    await processes.stop("job", grace_s=0.1)
    assert [start_ticks(pid) for pid in pids] == [None] * 3


async def test_nothing_survives_a_killed_shim(processes: ProcessManager, ended: Ended) -> None:
    pids = await descendants(processes, "    time.sleep(60)")
    state = processes.get("job")
    assert state is not None
    changes = asyncio.ensure_future(ended(processes, "job"))
    os.kill(parent(state.pid), signal.SIGKILL)
    lost = await changes
    assert (lost.phase, lost.reason, lost.exit_code) == ("Exited", "Error", None)
    assert lost.message.startswith("lost")
    assert [start_ticks(pid) for pid in (state.pid or 0, *pids)] == [None] * 4


@pytest.mark.parametrize("then", ["start", "stop", "remove", "watch"])
async def test_a_shim_killed_while_nobody_looked(
    processes: ProcessManager, then: str, ended: Ended, eventually: Eventually
) -> None:
    pids = await descendants(processes, "    time.sleep(60)")
    state = processes.get("job")
    assert state is not None
    os.kill(parent(state.pid), signal.SIGKILL)
    await eventually(lambda: start_ticks(state.pid or 0) is None)
    if then == "start":
        assert (await processes.start(ProcessSpec("job", ("sleep", "60"), PATH))).phase == "Running"
    elif then == "watch":
        await ended(processes, "job")
    else:
        await getattr(processes, then)("job")
    assert [start_ticks(pid) for pid in pids] == [None] * 3


async def test_a_shim_that_hangs_is_killed(processes: ProcessManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klever.process.manager._STOP_SLACK_S", 0.2)
    state = await processes.start(ProcessSpec("job", ("sleep", "60"), PATH))
    os.kill(parent(state.pid), signal.SIGSTOP)
    await processes.stop("job", grace_s=0.1)
    assert start_ticks(state.pid or 0) is None
    after = processes.get("job")
    assert after is not None
    assert after.message.startswith("lost")


async def test_nothing_runs_of_a_start_that_took_too_long(
    processes: ProcessManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_shim = launch.run_shim

    async def answer_nothing(spec: ProcessSpec, run: Run, directory: Path) -> str:
        assert await run_shim(spec, run, directory) == "started"
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(manager, "run_shim", answer_nothing)
    monkeypatch.setattr(manager, "_START_S", 3.0)
    with pytest.raises(DeadlineError, match="did not start within 3 s"):
        await processes.start(ProcessSpec("p", ("sleep", "60"), PATH))
    state = processes.get("p")
    assert state is not None
    assert state.phase == "Exited"


async def test_a_zombie_is_not_alive(processes: ProcessManager, eventually: Eventually, tmp_path: Path) -> None:
    other = control_plane(processes.root, tmp_path / "go", subreaper=True)  # it adopts the shims, and reaps none
    try:
        shim = parent((processes.get("p0") or processes.list()[0]).pid)
        assert parent(shim) == other.pid
        os.kill(shim, signal.SIGKILL)
        await eventually(lambda: start_ticks(shim) is None)
        assert parent(shim) == other.pid  # it is still in /proc
        state = processes.get("p0")
        assert state is not None
        assert state.phase == "Exited"
        await processes.stop("p1", grace_s=0.1)
        assert (processes.get("p1") or state).reason == "Killed"
    finally:
        end(other)


async def test_a_reused_pid_is_not_the_process(processes: ProcessManager) -> None:
    state = await processes.start(ProcessSpec("job", ("sleep", "60"), PATH))
    record = processes.directory("job") / "state.json"
    content = record.read_text()
    await processes.stop("job", grace_s=0)
    shim = int(content.partition('"shim_pid": ')[2].partition(",")[0])
    record.write_text(content.replace(f'"shim_pid": {shim}', f'"shim_pid": {os.getpid()}'))
    stale = processes.get("job")
    assert stale is not None
    assert (stale.phase, stale.pid) == ("Exited", None)
    await processes.stop("job")  # and this test is not what it stops
    assert state.phase == "Running"


async def test_a_damaged_record_is_none(processes: ProcessManager) -> None:
    await processes.start(ProcessSpec("job", ("true",), PATH))
    await processes.stop("job")
    (processes.directory("job") / "state.json").write_text("")
    assert processes.get("job") is None
    assert processes.list() == []


async def test_a_full_disk_refuses_a_start_and_runs_nothing(small_disk: Path) -> None:
    manager = ProcessManager(small_disk)
    fill(small_disk)
    with pytest.raises(ExhaustedError):
        await manager.start(ProcessSpec("job", ("touch", str(small_disk.parent / "ran")), PATH))
    (small_disk / "filler").unlink()
    assert not (small_disk.parent / "ran").exists()
    assert (await manager.start(ProcessSpec("job", ("sleep", "60"), PATH))).phase == "Running"
    await manager.remove("job")


async def test_an_end_is_recorded_on_a_full_disk(small_disk: Path, ended: Ended) -> None:
    manager = ProcessManager(small_disk)
    script = f"while ! [ -e {small_disk.parent}/go ]; do sleep 0.02; done; echo lost line; exit 9"
    await manager.start(ProcessSpec("job", ("sh", "-c", script), PATH))
    fill(small_disk)
    (small_disk.parent / "go").touch()
    state = await ended(manager, "job")
    assert (state.phase, state.exit_code, state.reason) == ("Exited", 9, "Error")


def fill(disk: Path) -> None:
    with suppress(OSError):
        (disk / "filler").write_bytes(b"\0" * (1 << 20))


async def test_the_shim_leaves_no_zombies(processes: ProcessManager, eventually: Eventually) -> None:
    script = """if True:
        import os, time
        for _ in range(20):
            if not os.fork():
                os.fork()
                os._exit(0)
            os.wait()
        time.sleep(60)
    """
    state = await processes.start(ProcessSpec("job", (sys.executable, "-c", script), PATH))
    shim = parent(state.pid)
    children = Path(f"/proc/{shim}/task/{shim}/children")
    await eventually(lambda: children.read_text().split() == [str(state.pid)])


@pytest.fixture
def init() -> Iterator[None]:
    """This process as the one that orphans are given to, as in a container."""
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)
    yield
    libc.prctl(36, 0, 0, 0, 0)


@pytest.mark.usefixtures("init")
@pytest.mark.parametrize("how", ["stopped", "ended"])
async def test_shims_do_not_stay_as_zombies(processes: ProcessManager, ended: Ended, how: str, tmp_path: Path) -> None:
    script = f"while ! [ -e {tmp_path}/go ]; do sleep 0.02; done"
    state = await processes.start(ProcessSpec("job", ("sh", "-c", script), PATH))
    shim = parent(state.pid)
    assert parent(shim) == os.getpid()
    if how == "ended":
        (tmp_path / "go").touch()
    await (processes.stop("job") if how == "stopped" else ended(processes, "job"))
    with pytest.raises(FileNotFoundError):
        parent(shim)


def test_start_time_tells_the_living() -> None:
    assert start_ticks(os.getpid()) is not None
    assert start_ticks(ctypes.c_int32(-1).value & 0x3FFFFF) is None
    child = subprocess.Popen(["true"])
    until = time.monotonic() + 20
    while start_ticks(child.pid) is not None:
        assert time.monotonic() < until
    child.wait()
