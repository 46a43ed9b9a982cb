"""What goes wrong with replicas, and what becomes of it."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from klever.backends import Instance, InstancePhase, PredictorWorkload
from klever.backends.local import LocalBackend, launcher
from klever.backends.local.ports import free_ports
from klever.backends.local.room import Room
from klever.errors import FailedPreconditionError
from klever.process import Level
from klever.process.sandbox.choose import choose
from tests.contract.backend import KEY, until, until_ready, workload
from tests.unit.backends.local.machine import Machine, adder, command, get, infer

pytestmark = pytest.mark.triton
LAZY = """
import os, time
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        time.sleep(2 if Handler.asked == 1 else 0 if Handler.asked < 40 else 3600)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
"""A model that takes 2 s for its first answer, none for the next, and hangs after forty: its sleeps are its work."""


async def in_phase(backend: LocalBackend, phase: InstancePhase, words: str = "") -> Instance:
    (instance,) = await until(
        backend, lambda seen: bool(seen) and seen[0].phase is phase and words in seen[0].message + seen[0].reason
    )
    return instance


async def test_a_model_whose_process_died_is_started_again_though_its_server_lives(
    machine: Machine, backend: LocalBackend
) -> None:
    await backend.ensure(workload(adder()))
    (instance,) = await until_ready(backend, 1)
    (stub,) = children(payload(machine.pid(instance)))
    os.kill(stub, signal.SIGKILL)
    await in_phase(backend, InstancePhase.BACK_OFF, "3 health checks in a row failed")
    (after,) = await until_ready(backend, 1)
    assert after.restarts == 1
    assert await infer(after, [1.0] * 5) == [2.0] * 5


async def test_a_crash_is_told_with_its_last_words(backend: LocalBackend) -> None:
    await backend.ensure(workload(command()))
    (instance,) = await until_ready(backend, 1)
    with suppress(Exception):
        await get(instance, "/crash")
    down = await in_phase(backend, InstancePhase.BACK_OFF)
    assert "exit code 3" in down.message
    assert "out of ideas" in down.message
    assert "next attempt in" in down.message
    (after,) = await until_ready(backend, 1)
    lines = [line async for line in backend.logs(KEY, after.name, tail=None, follow=False)]
    assert lines == ["started", "out of ideas", "started"]


async def test_a_replica_without_a_limit_does_not_use_up_the_memory_of_the_machine(machine: Machine) -> None:
    """The chat template of a language model took 11 GB in 25 s while the model was loaded."""
    backend = await machine.backend(room=Room(256 << 20, lambda: 1 << 40))
    fill = "x = []\nwhile True: x.append(b'x' * (1 << 20))"
    await backend.ensure(workload(replace(command(), command=(sys.executable, "-I", "-S", "-c", fill))))
    down = await in_phase(backend, InstancePhase.BACK_OFF)
    assert (down.reason, "192 MiB" in down.message) == ("OOMKilled", True)


async def test_a_hung_replica_is_started_again(backend: LocalBackend) -> None:
    await backend.ensure(workload(command()))
    (instance,) = await until_ready(backend, 1)
    hang = asyncio.create_task(get(instance, "/hang"))
    assert "no answer within" in (await in_phase(backend, InstancePhase.BACK_OFF, "Unhealthy")).message
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever a broken connection raises
        await hang
    (after,) = await until_ready(backend, 1)
    assert await get(after)


async def test_failed_starts_back_off(backend: LocalBackend) -> None:
    await backend.ensure(workload(replace(command(), command=("/bin/sh", "-c", "echo no luck; exit 7"))))
    for delay in ("0.1 s", "0.2 s", "0.4 s"):
        assert "no luck" in (await in_phase(backend, InstancePhase.BACK_OFF, f"next attempt in {delay}")).message


async def test_the_files_of_an_ended_process_are_removed(machine: Machine) -> None:
    backend = await machine.backend()
    await backend.ensure(workload(replace(command(), command=("/bin/sh", "-c", "echo x > written; exit 7"))))
    await in_phase(backend, InstancePhase.BACK_OFF, "next attempt in")
    assert not await asyncio.to_thread(lambda: list(machine.root.rglob("written")))


async def test_an_unready_replica_reports_its_answers(backend: LocalBackend) -> None:
    await backend.ensure(workload(replace(command(), probe_path="/missing")))
    await in_phase(backend, InstancePhase.STARTING, "not ready yet: HTTP 404 from /missing: nothing here")


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
async def test_a_command_that_listens_beyond_loopback_gets_no_traffic(backend: LocalBackend, address: str) -> None:
    server = (sys.executable, "-m", "http.server", "--bind", address, "$(PORT)")
    await backend.ensure(workload(replace(command(), command=server, probe_path="")))
    await in_phase(backend, InstancePhase.STARTING, f"the command listens on {address}:")


async def test_a_taken_port_costs_no_restart(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def unlucky(count: int, ours: frozenset[int]) -> tuple[int, ...]:
            nonlocal calls
            calls += 1
            http, grpc, metrics = free_ports(count, ours)
            return (taken.getsockname()[1] if calls == 1 else http, grpc, metrics)

        monkeypatch.setattr(launcher, "free_ports", unlucky)
        backend = await machine.backend()
        await backend.ensure(workload(command()))
        (instance,) = await until_ready(backend, 1)
    assert calls == 2
    assert instance.restarts == 0
    assert await get(instance)


async def test_a_full_disk_is_told_and_tried_again(machine: Machine) -> None:
    full = asyncio.Event()
    full.set()

    def fetch(reference: str, content: str, into: Path) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device", str(into))
        machine.fetch(reference, content, into)

    backend = await machine.backend(fetch=fetch)
    await backend.ensure(workload(adder()))
    waiting = await in_phase(backend, InstancePhase.PENDING, "DISK_FULL")
    assert "the disk is full" in waiting.message
    with pytest.raises(FailedPreconditionError) as error:
        backend.logs(KEY, waiting.name, tail=None, follow=False)
    assert (error.value.reason, waiting.message in str(error.value)) == ("NO_LOG", True)
    full.clear()
    await until_ready(backend, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "team/broken@sha256:0"}, "not a gzip'd tar"),
        ({"signature": None}, "has no signature"),
        ({"format": "PMML"}, "Triton does not serve PMML"),
        ({"format": "TensorRT"}, "tensorrt backend"),
    ],
)
async def test_an_impossible_replica_fails(backend: LocalBackend, change: dict[str, object], words: str) -> None:
    await backend.ensure(workload(replace(adder(), **change)))  # type: ignore[arg-type] # one field each
    assert words in (await in_phase(backend, InstancePhase.FAILED)).message


async def test_a_signature_of_another_model_is_told(backend: LocalBackend) -> None:
    signature = adder().signature
    assert signature is not None
    wrong = replace(signature, outputs=(replace(signature.outputs[0], name="sum"),))
    await backend.ensure(workload(replace(adder(), signature=wrong)))
    assert "the model has no output sum; it has Z" in (await in_phase(backend, InstancePhase.BACK_OFF)).message


async def test_a_serving_removed_while_it_starts_leaves_nothing(machine: Machine, backend: LocalBackend) -> None:
    await backend.ensure(workload(adder()))
    await in_phase(backend, InstancePhase.STARTING)
    await backend.remove(KEY)
    assert machine.processes.list() == []


async def test_code_runs_only_in_a_sandbox(machine: Machine) -> None:
    machine.confinement = choose((), Level.NONE)
    backend = await machine.backend()
    await backend.ensure(workload(command()))
    assert (await in_phase(backend, InstancePhase.FAILED)).reason == "NO_SANDBOX"


@pytest.mark.parametrize("level", [Level.LANDLOCK, Level.NONE])
async def test_memory_of_a_killed_server_is_given_back(machine: Machine, level: Level) -> None:
    """At the level `full` it is gone with the server's own /dev/shm."""
    machine.confinement = choose((), level)
    backend = await machine.backend()
    await backend.ensure(workload(adder()))
    (instance,) = await until_ready(backend, 1)
    pid = machine.pid(instance)
    segments = shared_memory(pid)
    assert segments
    os.kill(pid, signal.SIGKILL)
    await in_phase(backend, InstancePhase.BACK_OFF)
    await backend.remove(KEY)
    assert not any(segment.exists() for segment in segments)


async def test_a_command_is_told_its_model_and_variables(backend: LocalBackend) -> None:
    told: PredictorWorkload = replace(
        command(),
        model="team/adder@sha256:1",
        content="sha256:" + "c" * 64,
        env=({"name": "GREETING", "value": "hello"},),
    )
    await backend.ensure(workload(told))
    (instance,) = await until_ready(backend, 1)
    assert await get(instance) == "adder ['adder.onnx'] hello"


def payload(pid: int) -> int:
    """The process that a sandbox runs, or the process itself."""
    while Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"bwrap"):
        (pid,) = children(pid)
    return pid


def children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def shared_memory(pid: int) -> list[Path]:
    """Segments of POSIX shared memory that a process has mapped."""
    mapped = {line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()}
    return [Path(name) for name in mapped if name.startswith("/dev/shm/")]


async def test_a_slow_first_answer_does_not_hide_for_long_that_it_hangs(backend: LocalBackend) -> None:
    """A model is loaded by its first inference: later ones take no tenth of that."""
    await backend.ensure(workload(replace(command(), command=(sys.executable, "-c", LAZY), probe_path="/")))
    await until_ready(backend, 1)
    began = time.monotonic()
    await in_phase(backend, InstancePhase.BACK_OFF, "health checks in a row failed")
    assert time.monotonic() - began < 20  # 3 x 20 s by the first answer alone
