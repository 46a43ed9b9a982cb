"""Candidates for a Lease of a real API server."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from klever.errors import FailedPreconditionError, PermissionDeniedError
from klever.kube import Election, KubeClient

RETRY = 0.1


@pytest.fixture
def namespace() -> str:
    """One that is not there yet."""
    return f"lease-{uuid.uuid4().hex[:8]}"


def candidate(client: Any, namespace: str, name: str, place: str = "here:/data") -> Election:
    return Election(
        client, namespace=namespace, name="it", identity=name, place=place, duration=1.5, deadline=1.0, retry=RETRY
    )


@asynccontextmanager
async def held(election: Election) -> AsyncIterator[None]:
    """Leads within; ends without a word."""
    await election.acquire()
    holding = asyncio.create_task(election.hold())
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


class Forbidden:
    """A user without rights on leases."""

    def __init__(self) -> None:
        self.asked = 0
        self.often = asyncio.Event()

    async def raw(self, method: str, path: str, **_: Any) -> Any:
        self.asked += 1
        if self.asked == 5:
            self.often.set()
        raise PermissionDeniedError("leases is forbidden")


async def test_of_many_at_once_one_leads(kube_client: KubeClient, namespace: str) -> None:
    """The namespace is made by whoever comes first."""
    candidates = [candidate(kube_client, namespace, f"c{n}") for n in range(4)]

    async def turn(one: Election) -> None:
        await one.acquire()
        assert [one] == [other for other in candidates if other.leads()]
        await one.release()

    async with asyncio.timeout(20):
        await asyncio.gather(*map(turn, candidates))


async def test_what_is_released_is_taken_by_the_next(kube_client: KubeClient, namespace: str) -> None:
    first, second = candidate(kube_client, namespace, "first"), candidate(kube_client, namespace, "second")
    await first.acquire()
    await first.release()
    assert not first.leads()
    began = time.monotonic()
    await second.acquire()
    assert time.monotonic() - began < 1.0


async def test_a_missing_right_is_asked_for_no_oftener_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    forbidden = Forbidden()
    waiting = asyncio.create_task(candidate(forbidden, "any", "c").acquire())
    with caplog.at_level(logging.WARNING):
        began = time.monotonic()
        await forbidden.often.wait()
    waiting.cancel()
    assert time.monotonic() - began >= 4 * RETRY
    assert [record.getMessage() for record in caplog.records] == ["lease any/it: leases is forbidden"]


async def test_elsewhere_is_refused_while_its_holder_lives(kube_client: KubeClient, namespace: str) -> None:
    first = candidate(kube_client, namespace, "first")
    second = candidate(kube_client, namespace, "second", "there:/data")
    async with held(first):
        await candidate(kube_client, namespace, "beside").check()
        with pytest.raises(FailedPreconditionError, match=r"first works .* data directory here:/data.*end it first"):
            await second.check()
    await second.check()  # the holder is dead


async def test_elsewhere_is_free_when_it_was_released(kube_client: KubeClient, namespace: str) -> None:
    first = candidate(kube_client, namespace, "first")
    await first.acquire()
    await first.release()
    began = time.monotonic()
    second = candidate(kube_client, namespace, "second", "there:/data")
    await second.check()
    async with held(second):
        assert time.monotonic() - began < 1.0
        with pytest.raises(FailedPreconditionError, match="there:/data"):
            await first.check()
