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

from klever.errors import FailedPreconditionError, PermissionDeniedError, UnavailableError
from klever.kube import KubeClient
from klever.reconcile.election import Election
from tests.unit.kube.faulty import eventually

RETRY = 0.1


@pytest.fixture
def namespace() -> str:
    """One that is not there yet."""
    return f"lease-{uuid.uuid4().hex[:8]}"


def candidate(
    client: Any, namespace: str, name: str, place: str = "here:/data", *, duration: float = 1.5, deadline: float = 1.0
) -> Election:
    return Election(
        client,
        namespace=namespace,
        name="it",
        identity=name,
        place=place,
        duration=duration,
        deadline=deadline,
        retry=RETRY,
    )


def patient(client: Any, namespace: str, name: str, place: str = "here:/data") -> Election:
    """One that would wait for the end of a lease for longer than any test does."""
    return candidate(client, namespace, name, place, duration=600.0, deadline=400.0)


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


class Slow:
    """The way to an API server on which each call takes `seconds`; the answer to the next write can be lost."""

    def __init__(self, client: KubeClient, seconds: float) -> None:
        self._client = client
        self.seconds = seconds
        self.calls: list[str] = []
        self.lossy = False

    async def raw(self, method: str, path: str, **request: Any) -> Any:
        self.calls.append(method)
        await asyncio.sleep(self.seconds)
        answer = await self._client.raw(method, path, **request)
        if method == "PATCH" and self.lossy:
            self.lossy = False
            raise UnavailableError("the answer is lost")
        return answer

    async def create(self, *obj: Any) -> Any:
        return await self._client.create(*obj)


@asynccontextmanager
async def watched(
    client: KubeClient, namespace: str, seconds: float = 0.0, *, scale: float = 1.0
) -> AsyncIterator[tuple[Election, Slow, asyncio.Task[None]]]:
    """Leads within, by a lease of a fifth of the usual times, or `scale` times that; what it calls is seen."""
    slow = Slow(client, seconds)
    election = Election(
        slow,  # type: ignore[arg-type]  # the way to a KubeClient
        namespace=namespace,
        name="it",
        identity="first",
        place="here:/data",
        duration=3.0 * scale,
        deadline=2.0 * scale,
        retry=0.4 * scale,
    )
    async with asyncio.timeout(30):
        await election.acquire()
        slow.calls.clear()
        holding = asyncio.create_task(election.hold())
        try:
            yield election, slow, holding
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)


async def change(client: KubeClient, namespace: str, **patch: Any) -> None:
    """Write to the lease as somebody else."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/it"
    await client.raw("PATCH", path, body=patch, content_type="application/merge-patch+json")


async def test_one_of_many_candidates_leads(kube_client: KubeClient, namespace: str) -> None:
    """The namespace is made by whoever comes first."""
    candidates = [candidate(kube_client, namespace, f"c{n}") for n in range(4)]

    async def turn(one: Election) -> None:
        await one.acquire()
        assert [one] == [other for other in candidates if other.leads()]
        await one.release()

    async with asyncio.timeout(20):
        await asyncio.gather(*map(turn, candidates))


async def test_the_next_candidate_takes_a_released_lease(kube_client: KubeClient, namespace: str) -> None:
    first, second = patient(kube_client, namespace, "first"), patient(kube_client, namespace, "second")
    await first.acquire()
    await first.release()
    assert not first.leads()
    async with asyncio.timeout(30):
        await second.acquire()


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
        with pytest.raises(FailedPreconditionError, match=r"first already works .*here:/data.*stop it first"):
            await second.check()
    await second.check()  # the holder is dead


async def test_elsewhere_is_free_when_it_was_released(kube_client: KubeClient, namespace: str) -> None:
    first = patient(kube_client, namespace, "first")
    second = patient(kube_client, namespace, "second", "there:/data")
    async with asyncio.timeout(30):
        await first.acquire()
        await first.release()
        await second.check()
        async with held(second):
            with pytest.raises(FailedPreconditionError, match="there:/data"):
                await first.check()


async def test_over_a_slow_server_it_leads_for_longer_than_the_lease_lasts(
    kube_client: KubeClient, namespace: str
) -> None:
    async with watched(kube_client, namespace, seconds=1.8, scale=3) as (first, slow, holding):
        waiting = asyncio.create_task(candidate(kube_client, namespace, "second", duration=9.0).acquire())
        await eventually(lambda: len(slow.calls) == 4 or not first.leads())  # 3 s each; the lease has 9
        assert first.leads()
        assert not holding.done()
        assert set(slow.calls) == {"PATCH"}
        assert not waiting.done()
        waiting.cancel()


async def test_foreign_fields_of_the_lease_do_not_end_the_term(kube_client: KubeClient, namespace: str) -> None:
    async with watched(kube_client, namespace) as (first, slow, holding):
        await change(kube_client, namespace, metadata={"annotations": {"theirs": "kept"}})
        await eventually(lambda: "GET" in slow.calls and slow.calls[slow.calls.index("GET") :][2:])
        assert slow.calls[slow.calls.index("GET") - 1 :] == ["PATCH", "GET", "PATCH", "PATCH"]
        assert set(slow.calls[: slow.calls.index("GET")]) == {"PATCH"}  # renewals before the change came
        assert first.leads()
        assert not holding.done()


async def test_a_renewal_whose_answer_is_lost_is_one(kube_client: KubeClient, namespace: str) -> None:
    async with watched(kube_client, namespace, scale=3) as (first, slow, holding):
        slow.lossy = True
        await eventually(lambda: len(slow.calls) == 5)
        assert slow.calls == ["PATCH", "PATCH", "GET", "PATCH", "PATCH"]
        assert first.leads()
        assert not holding.done()


@pytest.mark.parametrize(("holder", "said"), [("second", "second does"), ("", "nobody does")])
async def test_a_lost_lease_is_not_taken_again(kube_client: KubeClient, namespace: str, holder: str, said: str) -> None:
    """Even if the lease is free again: its holder may have changed objects in the meantime."""
    async with watched(kube_client, namespace) as (first, _, holding):
        await change(kube_client, namespace, spec={"holderIdentity": holder})
        with pytest.raises(UnavailableError, match=f"first is no longer the leader: {said}"):
            await holding
        assert not first.leads()


async def test_a_lease_that_is_deleted_is_lost(kube_client: KubeClient, namespace: str) -> None:
    async with watched(kube_client, namespace) as (first, _, holding):
        await kube_client.raw("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/it")
        with pytest.raises(UnavailableError, match="nobody does"):
            await holding
        assert not first.leads()
