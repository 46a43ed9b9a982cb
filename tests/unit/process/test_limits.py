"""Time, memory and log sizes are bounded."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from klever.process import ProcessManager, ProcessSpec, ProcessState

Ended = Callable[[ProcessManager, str], Awaitable[ProcessState]]

PATH = {"PATH": "/usr/bin:/bin"}


def python(script: str, **rest: object) -> ProcessSpec:
    return ProcessSpec("job", (sys.executable, "-I", "-S", "-u", "-c", script), PATH, **rest)  # type: ignore[arg-type]


async def test_kills_what_runs_too_long(processes: ProcessManager, ended: Ended) -> None:
    await processes.start(python("import time; time.sleep(60)", timeout_s=0.3))
    state = await ended(processes, "job")
    assert (state.reason, state.message, state.exit_code) == ("DeadlineExceeded", "ran longer than 0.3 s", 137)


async def test_kills_what_takes_too_much_memory(processes: ProcessManager, ended: Ended) -> None:
    await processes.start(python("import time; x = b'x' * (100 << 20); time.sleep(60)", memory_bytes=64 << 20))
    state = await ended(processes, "job")
    assert (state.reason, state.exit_code) == ("OOMKilled", 137)
    assert re.fullmatch(r"used \d+ MiB of memory; the limit is 64 MiB", state.message)


async def test_counts_the_memory_of_descendants(processes: ProcessManager, ended: Ended) -> None:
    script = """if True:
        import os, time
        if not os.fork():
            os.setsid()
            if not os.fork():
                x = b'x' * (100 << 20)
            time.sleep(60)
        time.sleep(60)
    """
    await processes.start(python(script, memory_bytes=64 << 20))
    assert (await ended(processes, "job")).reason == "OOMKilled"


async def test_counts_shared_memory_once(processes: ProcessManager, ended: Ended) -> None:
    script = """if True:
        import os, time
        x = b'x' * (60 << 20)
        for _ in range(3):
            if not os.fork():
                time.sleep(60)
        time.sleep(1.2)  # at least two looks at the memory
    """
    await processes.start(python(script, memory_bytes=150 << 20))
    assert (await ended(processes, "job")).reason == "Completed"


async def test_rotates_the_log(processes: ProcessManager, ended: Ended) -> None:
    await processes.start(python("for n in range(20000): print(f'line {n:05}')", log_bytes=100_000))
    await ended(processes, "job")
    directory = processes.directory("job")
    assert 0 < (directory / "log").stat().st_size <= 100_000
    assert 0 < (directory / "log.1").stat().st_size <= 100_000
    lines = [line async for line in processes.logs("job")]
    assert lines[-1] == "line 19999"
    numbers = [int(line[5:]) for line in lines[1:]]  # the first one may have lost its begin
    assert numbers == list(range(numbers[0], 20000))
    assert len(numbers) > 100_000 // 11
    assert [line async for line in processes.logs("job", tail=2)] == lines[-2:]
    assert [line async for line in processes.logs("job", tail=0)] == []


async def test_a_log_without_a_size_of_its_own_has_that_of_the_manager(tmp_path: Path, ended: Ended) -> None:
    processes = ProcessManager(tmp_path / "others", log_bytes=50_000)
    await processes.start(python("for n in range(20000): print(f'line {n:05}')"))
    await ended(processes, "job")
    sizes = [(processes.directory("job") / name).stat().st_size for name in ("log", "log.1")]
    assert 0 < max(sizes) <= 50_000


async def test_follows_across_rotation(processes: ProcessManager) -> None:
    script = "import time\nfor n in range(600):\n  print(f'{n:0100}')\n  if not n % 5: time.sleep(0.02)"
    await processes.start(python(script, log_bytes=20_000))  # of two rotations at a time lines are lost
    async with asyncio.timeout(20):
        lines = [line async for line in processes.logs("job", follow=True)]
    assert [int(line) for line in lines] == list(range(600))


async def test_shows_a_line_without_an_end_and_bytes_that_are_no_text(processes: ProcessManager, ended: Ended) -> None:
    await processes.start(python("import os; os.write(1, b'\\xff\\n' + b'x' * 200_000)"))
    await ended(processes, "job")
    lines = [line async for line in processes.logs("job")]
    assert lines[0] == "\ufffd"
    assert "".join(lines[1:]) == "x" * 200_000
