"""While eight clients attack at once, the control plane answers others and stays small.

Its answers are timed by the processor time of its event loop: everything that an answer waits for runs there. Wall time
would tell as well of whatever else the machine does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import grpc
import pytest

from klever.v1alpha1.serving_service_pb2 import GetServingRequest
from klever.v1alpha1.serving_service_pb2_grpc import ServingServiceStub
from tests.attacks.crowd import ATTACKS, Crowd, crowd, seed
from tests.attacks.memory import peak_mib, reset_peak
from tests.attacks.triton import NAME
from tests.e2e.platform import Platform

MOST_MIB = 250
MEDIAN_S = 0.1
WORST_S = 1.0
"""Seconds of the loop between a Get and its answer. Several times what the slowest call takes on a busy machine."""
SECONDS = 3.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Get:
    """Seconds from a Get to its answer, and how long the control plane's event loop worked meanwhile."""

    wall: float
    loop: float


class Probe:
    """A client that gets a Serving, again and again."""

    def __init__(self, stub: ServingServiceStub, pid: int) -> None:
        self._stub = stub
        self.pid = pid

    def gets(self, done: Callable[[], bool]) -> list[Get]:
        found = [self._get()]
        while not done():
            found.append(self._get())
        return found

    def _get(self) -> Get:
        began, worked = time.perf_counter(), self._worked()
        self._stub.GetServing(GetServingRequest(namespace="default", name=NAME), timeout=30)
        return Get(time.perf_counter() - began, self._worked() - worked)

    def _worked(self) -> float:
        """Return the processor time of the main thread, which runs the loop."""
        fields = Path(f"/proc/{self.pid}/task/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.fixture(scope="module")
def attackers(echo: Platform) -> Iterator[Crowd]:
    seed(echo)
    with crowd(echo) as clients:
        yield clients


@pytest.fixture(scope="module")
def probe(echo: Platform) -> Iterator[Probe]:
    assert echo.process is not None
    with grpc.insecure_channel(f"127.0.0.1:{echo.port}") as channel:
        yield Probe(ServingServiceStub(channel), echo.process.pid)


@pytest.mark.parametrize("name", ATTACKS)
def test_eight_attackers_hold_up_nobody(attackers: Crowd, probe: Probe, name: str) -> None:
    reset_peak(probe.pid)
    attack = attackers.begin(name, SECONDS)
    gets = probe.gets(attack.done)
    peak, outcomes = peak_mib(probe.pid), attack.result()
    show(name, gets, peak)
    assert set(outcomes) <= ATTACKS[name].outcomes, outcomes
    assert peak < MOST_MIB
    assert median(get.loop for get in gets) < MEDIAN_S
    assert max(get.loop for get in gets) < WORST_S


def show(name: str, gets: list[Get], peak: int) -> None:
    for what, values in (("wall", [get.wall for get in gets]), ("loop", [get.loop for get in gets])):
        p99 = quantiles([*values, values[-1]], n=100, method="inclusive")[98]
        figures = f"p50 {median(values) * 1000:.0f}, p99 {p99 * 1000:.0f}, max {max(values) * 1000:.0f} ms"
        print(f"{name}: {len(values)} Gets, {what} {figures}, {peak} MiB")
