"""The memory and CPU time of replicas as metrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from klever.backends.local.usage import ReplicaUsage
from klever.process.shim.names import STATE
from klever.process.shim.proc import start_ticks

LABELS = {"namespace": "default", "serving": "digits", "workload": "25cd", "instance_name": "digits-25cd-0"}


@pytest.fixture
def shim() -> Iterator[int]:
    """A process with one child, which has worked."""
    child = "import sys; sum(range(10**7)); print('ready', flush=True); sys.stdin.read()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid


def record(root: Path, name: str, pid: int, ticks: int | None) -> None:
    (root / name).mkdir()
    (root / name / STATE).write_text(json.dumps({"shim_pid": pid, "shim_ticks": ticks}))


def test_a_replica_has_memory_and_cpu_time(tmp_path: Path, shim: int) -> None:
    record(tmp_path, "serving.default.digits.25cd.0", shim, start_ticks(shim))
    record(tmp_path, "serving.default.ended.25cd.0", shim, 1)
    record(tmp_path, "gateway", shim, start_ticks(shim))
    metrics = CollectorRegistry()
    metrics.register(ReplicaUsage(tmp_path, os.sysconf("SC_CLK_TCK")))
    samples = {sample.name: sample for family in metrics.collect() for sample in family.samples}
    memory, cpu = samples["klever_replica_memory_bytes"], samples["klever_replica_cpu_seconds_total"]
    assert memory.labels == cpu.labels == LABELS
    assert memory.value > 1 << 20
    assert cpu.value > 0
