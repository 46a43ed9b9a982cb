"""A control plane that was killed finds its replicas again and starts nothing twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from klever.backends import InstancePhase
from tests.contract.backend import KEY, all_ready, until, until_ready, workload
from tests.unit.backends.local.machine import Machine, adder, command, get, infer

pytestmark = pytest.mark.triton


async def test_an_adopted_replica_is_ready_at_once(machine: Machine) -> None:
    first = await machine.backend()
    await first.ensure(workload(adder()))
    (before,) = await until_ready(first, 1)
    pid = machine.pid(before)
    await first.close()

    second = await machine.backend()
    (after,) = await second.observe(KEY)
    assert (after.phase, after.http, after.grpc, after.metrics) == (
        InstancePhase.READY,
        before.http,
        before.grpc,
        before.metrics,
    )
    await second.ensure(workload(adder()))
    assert await infer(after, [0.0] * 5) == [1.0] * 5
    assert machine.pid(after) == pid
    assert machine.fetched == ["team/adder@sha256:" + "a" * 64]


async def test_an_adopted_replica_is_looked_after(machine: Machine) -> None:
    first = await machine.backend()
    await first.ensure(workload(command()))
    (before,) = await until_ready(first, 1)
    await first.close()

    second = await machine.backend()
    await second.ensure(workload(command()))
    os.kill(machine.pid(before), signal.SIGKILL)
    (after,) = await until(second, lambda seen: all_ready(seen) and seen[0].restarts == 1)
    assert await get(after)


async def test_a_replica_that_ended_meanwhile_restarts(machine: Machine) -> None:
    first = await machine.backend()
    await first.ensure(workload(command()))
    (before,) = await until_ready(first, 1)
    await first.close()
    await machine.processes.stop(f"serving.team.adder.{before.workload}.0", grace_s=1)

    second = await machine.backend()
    await second.ensure(workload(command()))
    (after,) = await until_ready(second, 1)
    assert after.http
    assert await get(after)


async def test_orphans_are_known_and_can_be_removed(machine: Machine) -> None:
    first = await machine.backend()
    await first.ensure(workload(command()))
    await until_ready(first, 1)
    await first.close()

    second = await machine.backend()
    assert await second.list() == (KEY,)
    await second.remove(KEY)
    assert await second.list() == ()
    assert machine.processes.list() == []


async def test_a_replica_without_its_record_is_ended(machine: Machine) -> None:
    first = await machine.backend()
    await first.ensure(workload(command()))
    (before,) = await until_ready(first, 1)
    await first.close()
    name = f"serving.team.adder.{before.workload}.0"
    damage(machine.processes.directory(name) / "replica" / "replica.json")

    second = await machine.backend()
    assert await second.list() == ()
    assert machine.processes.list() == []


def damage(path: Path) -> None:
    path.write_text("{")
