"""The kernel keeps processes within their limits, in cgroups where they can be made."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from klever.cmd.programs import bubblewraps
from klever.errors import InvalidError
from klever.process import Confinement, ProcessManager, ProcessSpec, ProcessState, Sandbox
from klever.process.cgroups import Cgroups, find, group_name
from klever.process.sandbox.choose import available

pytestmark = pytest.mark.slow

Ended = Callable[[ProcessManager, str], Awaitable[ProcessState]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

CGROUPS = find()
LEVELS = list(available(bubblewraps()))

MIB = 1 << 20
LIMIT = 64 * MIB
GREEDY = f"import time; x = b'x' * {450 * MIB}; time.sleep(60)"
HALF_KILLED = f"import os, time\nif not os.fork():\n  x = b'x' * {450 * MIB}\ntime.sleep(60)"
BUSY = "while True: pass"
TASKS = "resource.getrlimit(resource.RLIMIT_NPROC)"
FORKS = "import os, time\nfor _ in range(1000):\n  try:\n    os.fork() or time.sleep(60)\n  except OSError:\n    pass"


def needs(*controllers: str) -> pytest.MarkDecorator:
    found = CGROUPS.description if CGROUPS else "no cgroup can be made"
    missing = [name for name in controllers if not CGROUPS or name not in CGROUPS.parents]
    return pytest.mark.skipif(bool(missing), reason=f"needs cgroups for {', '.join(controllers)}; here: {found}")


@dataclass
class Cell:
    """Sandboxed processes at one level."""

    processes: ProcessManager

    @property
    def work(self) -> Path:
        return self.processes.root / "p" / "work"

    def spec(self, script: str, *, processes: int = 512, **rest: Any) -> ProcessSpec:
        python = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        sandbox = Sandbox((Path(sys.base_prefix),), (self.work,), processes=processes)
        argv = (python, "-I", "-S", "-c", script)
        return ProcessSpec("p", argv, {"PATH": "/usr/bin:/bin"}, self.work, sandbox=sandbox, grace_s=0.1, **rest)

    def groups(self) -> list[Path]:
        return find_groups(self.processes)

    def number(self, controller: str, *names: str) -> int:
        """Return the number in the first of these files, or fields of files, that the kernel has."""
        assert CGROUPS
        group = CGROUPS.parents[controller] / group_name(self.processes.directory("p"))
        for name in names:
            file, _, field = name.partition(":")
            lines = (group / file).read_text().splitlines() if (group / file).exists() else []
            if numbers := [int(line.split()[-1]) for line in lines if not field or line.split()[0] == field]:
                return numbers[0]
        raise AssertionError(f"{group} has none of {names}")

    def shim(self) -> int:
        return int(json.loads((self.processes.root / "p" / "state.json").read_text())["shim_pid"])


def find_groups(processes: ProcessManager) -> list[Path]:
    """Return the groups that exist for the process."""
    parents = set(CGROUPS.parents.values()) if CGROUPS else set()
    name = group_name(processes.directory("p"))
    return [parent / name for parent in parents if (parent / name).exists()]


@pytest.fixture(params=LEVELS, ids=[confinement.level for confinement in LEVELS])
async def cell(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cell]:
    confinement: Confinement = request.param
    cell = Cell(ProcessManager(tmp_path / "processes", confinement=confinement, cgroups=CGROUPS))
    yield cell
    await cell.processes.stop("p", grace_s=0)
    assert cell.groups() == []


@needs("memory")
async def test_the_kernel_ends_what_takes_too_much_memory(cell: Cell, ended: Ended) -> None:
    await cell.processes.start(cell.spec(GREEDY, memory_bytes=LIMIT))
    state = await ended(cell.processes, "p")
    assert (state.reason, state.exit_code) == ("OOMKilled", 137)
    assert "64 MiB" in state.message
    assert cell.groups() == []


@needs("memory")
async def test_memory_never_passes_its_limit(cell: Cell, eventually: Eventually) -> None:
    """The group outlives a run, so its peak can be read after the kernel ended one."""
    await cell.processes.start(cell.spec(GREEDY, memory_bytes=LIMIT, restart=True))
    await eventually(lambda: (state := cell.processes.get("p")) is not None and state.restarts >= 1)
    peak = cell.number("memory", "memory.peak", "memory.max_usage_in_bytes")
    assert LIMIT - MIB < peak <= LIMIT


@needs("memory")
async def test_a_process_of_which_a_part_is_killed_ends(cell: Cell, ended: Ended) -> None:
    await cell.processes.start(cell.spec(HALF_KILLED, memory_bytes=LIMIT))
    assert (await ended(cell.processes, "p")).reason == "OOMKilled"


@needs("memory")
async def test_a_process_within_its_limits_completes(cell: Cell, ended: Ended) -> None:
    await cell.processes.start(cell.spec(f"x = b'x' * {16 * MIB}", memory_bytes=LIMIT, cpu=1))
    assert (await ended(cell.processes, "p")).reason == "Completed"


@needs("memory")
async def test_a_later_run_is_not_blamed_for_an_earlier_one(cell: Cell, ended: Ended) -> None:
    await cell.processes.start(cell.spec(GREEDY, memory_bytes=LIMIT))
    await ended(cell.processes, "p")
    await cell.processes.start(cell.spec("", memory_bytes=LIMIT))
    assert (await ended(cell.processes, "p")).reason == "Completed"


@needs("cpu")
async def test_cpu_time_is_limited(cell: Cell, eventually: Eventually) -> None:
    await cell.processes.start(cell.spec(BUSY, cpu=0.1))
    await eventually(lambda: cell.number("cpu", "cpu.stat:nr_throttled") > 0)


@needs("pids")
async def test_forks_are_limited(cell: Cell, ended: Ended) -> None:
    await cell.processes.start(cell.spec(FORKS, processes=8))
    assert (await ended(cell.processes, "p")).reason == "TooManyProcesses"


@needs("pids", "memory")
async def test_everything_of_a_process_is_in_its_groups(cell: Cell, eventually: Eventually) -> None:
    await cell.processes.start(cell.spec("import os, time; os.fork(); time.sleep(60)", memory_bytes=LIMIT))
    await eventually(lambda: cell.number("pids", "pids.current") >= 2)
    procs = {(group / "cgroup.procs").read_text() for group in cell.groups()}
    assert len(procs) == 1
    assert str(os.getpid()) not in procs.pop().split()


@needs("memory")
async def test_a_payload_cannot_write_its_limits(cell: Cell, ended: Ended) -> None:
    if not cell.processes.confinement.uses_another_user(Sandbox((Path(sys.base_prefix),), ())):
        pytest.skip("the payload has the user of the platform at this level")
    assert CGROUPS
    group = CGROUPS.parents["memory"] / group_name(cell.processes.directory("p"))
    script = f"import os; assert not os.access({str(group / 'cgroup.procs')!r}, os.W_OK)"
    await cell.processes.start(cell.spec(script, memory_bytes=LIMIT))
    assert (await ended(cell.processes, "p")).reason == "Completed"


@needs("memory")
async def test_removal_leaves_no_group(cell: Cell) -> None:
    await cell.processes.start(cell.spec("import time; time.sleep(60)", memory_bytes=LIMIT, cpu=1))
    assert cell.groups() != []
    await cell.processes.remove("p")
    assert cell.groups() == []


@needs("memory")
async def test_groups_of_a_killed_shim_are_removed(cell: Cell, ended: Ended) -> None:
    await cell.processes.start(cell.spec("import os, time; os.fork(); time.sleep(60)", memory_bytes=LIMIT, cpu=1))
    os.kill(cell.shim(), signal.SIGKILL)
    await ended(cell.processes, "p")
    await cell.processes.stop("p")
    assert cell.groups() == []
    await cell.processes.start(cell.spec("", memory_bytes=LIMIT, cpu=1))
    assert (await ended(cell.processes, "p")).reason == "Completed"


@needs("memory")
async def test_a_killed_shim_is_followed_by_a_new_process(cell: Cell, ended: Ended) -> None:
    await cell.processes.start(cell.spec("import time; time.sleep(60)", memory_bytes=LIMIT))
    os.kill(cell.shim(), signal.SIGKILL)
    await ended(cell.processes, "p")
    await cell.processes.start(cell.spec(GREEDY, memory_bytes=LIMIT))
    assert (await ended(cell.processes, "p")).reason == "OOMKilled"


@needs("memory")
async def test_a_program_that_cannot_start_leaves_no_group(tmp_path: Path) -> None:
    processes = ProcessManager(tmp_path, cgroups=CGROUPS)
    await processes.start(ProcessSpec("p", ("/no/such/program",), memory_bytes=LIMIT))
    await processes.stop("p")
    assert find_groups(processes) == []


async def test_without_cgroups_the_shim_watches_the_memory(tmp_path: Path, ended: Ended) -> None:
    processes = ProcessManager(tmp_path, cgroups=None)
    await processes.start(ProcessSpec("p", (sys.executable, "-c", GREEDY), memory_bytes=LIMIT))
    state = await ended(processes, "p")
    assert (state.reason, state.exit_code) == ("OOMKilled", 137)


async def test_the_shim_watches_what_no_group_can_be_made_for(tmp_path: Path, ended: Ended) -> None:
    gone = Cgroups(2, {"memory": tmp_path / "gone", "cpu": tmp_path / "gone"})
    processes = ProcessManager(tmp_path / "processes", cgroups=gone)
    await processes.start(ProcessSpec("p", (sys.executable, "-c", GREEDY), memory_bytes=LIMIT, cpu=1))
    assert (await ended(processes, "p")).reason == "OOMKilled"


async def test_without_cgroups_tasks_of_another_user_are_limited(tmp_path: Path, ended: Ended) -> None:
    for confinement in LEVELS:
        cell = Cell(ProcessManager(tmp_path / confinement.level / "processes", confinement=confinement))
        if confinement.uses_another_user(Sandbox((Path(sys.base_prefix),), (cell.work,))):
            await cell.processes.start(cell.spec(f"import resource; print({TASKS})", processes=8))
            await ended(cell.processes, "p")
            assert [line async for line in cell.processes.logs("p")] == ["(64, 64)"]


async def test_without_a_cpu_controller_a_process_gets_as_many_cores(tmp_path: Path, ended: Ended) -> None:
    processes = ProcessManager(tmp_path)
    script = "import os; print(len(os.sched_getaffinity(0)))"
    await processes.start(ProcessSpec("p", (sys.executable, "-c", script), cpu=0.5))
    await ended(processes, "p")
    assert [line async for line in processes.logs("p")] == ["1"]


def test_limits_are_settings_of_either_version() -> None:
    parents = {name: Path("/sys/fs/cgroup") for name in ("memory", "cpu", "pids")}
    limits = {"memory_bytes": LIMIT, "cpu": 0.5, "processes": 10}
    settings = [
        {name: dict(group.files) for name, group in Cgroups(version, parents).groups("p", **limits).items()}  # type: ignore[arg-type]
        for version in (1, 2)
    ]
    assert settings[0]["cpu"]["cpu.cfs_quota_us"] == "50000"
    assert settings[1]["cpu"]["cpu.max"] == "50000 100000"
    assert settings[0]["memory"]["memory.limit_in_bytes"] == settings[1]["memory"]["memory.max"] == str(LIMIT)
    assert int(settings[1]["pids"]["pids.max"]) >= 10
    assert Cgroups(2, parents).groups("p", memory_bytes=0, cpu=0.0) == {}
    assert set(Cgroups(2, {"pids": Path("/")}).groups("p", **limits)) == {"pids"}  # type: ignore[arg-type]


def test_no_cgroups_are_found_where_nothing_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("4:memory:/\n0::/\n")
    assert find(tmp_path / "cgroup", tmp_path / "own") is None


def test_no_cgroups_are_found_where_version_2_has_no_controller_for_them(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids hugetlb\n")
    (tmp_path / "cgroup.subtree_control").write_text("hugetlb\n")
    (tmp_path / "own").write_text("0::/\n")
    assert find(tmp_path, tmp_path / "own") is None


def test_a_limit_of_no_cpu_is_refused() -> None:
    with pytest.raises(InvalidError):
        ProcessSpec("p", ("true",), cpu=0)
