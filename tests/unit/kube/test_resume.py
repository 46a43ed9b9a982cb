"""Watches outlive what passes, do not storm a server that ends them, and say when it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from itertools import pairwise

import pytest

from klever.api.kinds import MODEL_JOB
from klever.backoff import Backoff
from klever.errors import ExpiredError, PermissionDeniedError, UnavailableError
from klever.kube import KubeClient, KubeConfig
from klever.store import WatchEvent
from klever.store.kubernetes import KubernetesStore
from klever.store.validation import SchemaAdmission
from tests.unit.kube.faulty import (
    GONE,
    TOO_NEW,
    FaultyServer,
    Handler,
    answer,
    events,
    eventually,
    hang_up,
    items,
    named,
    refuse,
    silence,
    text,
    told,
)
from tests.unit.kube.test_reflector import reflecting

END = events()
"""A watch that the server ends at once."""
FIRST_DELAY = 0.05


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("reflector", "resume"):
        monkeypatch.setattr(f"klever.kube.{module}.Backoff", partial(Backoff, FIRST_DELAY))
    monkeypatch.setattr("klever.kube.transport._MAX_DELAY", 0.2)


def watch(client: KubeClient, *, patience: float = 60.0) -> AsyncGenerator[WatchEvent, None]:
    store = KubernetesStore(client, SchemaAdmission(), patience=patience)
    return store.watch(MODEL_JOB, resource_version="1")


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


def assert_ever_longer(times: list[float]) -> None:
    """Delays double; each is spread by a fifth, and may come late on a busy machine, but never early."""
    waited = gaps(times)
    assert all(waits > 0.775 * FIRST_DELAY * 2**number for number, waits in enumerate(waited)), waited


@pytest.mark.parametrize("handler", [END, text("<html>\n"), refuse(500)], ids=["ended", "html", "500"])
async def test_a_reflector_waits_longer_each_time(handler: Handler) -> None:
    async with FaultyServer(items(1), handler) as server, reflecting(server):
        await eventually(lambda: len(server.watches()) == 4)
        assert_ever_longer(server.watches())
        assert len(server.seen) == 5  # it lists once


async def test_a_reflector_that_lists_and_is_told_to_list_again_waits() -> None:
    gone = events(("ERROR", GONE))
    async with FaultyServer(*[items(1), gone] * 4) as server, reflecting(server):
        await eventually(lambda: len(server.watches()) == 4)
        assert_ever_longer(server.watches())


async def test_a_stores_watch_waits_longer_each_time() -> None:
    async with FaultyServer(END) as server:
        hearing = asyncio.ensure_future(anext(watch(server.client)))
        await eventually(lambda: len(server.watches()) == 4)
        hearing.cancel()
        assert_ever_longer(server.watches())


async def test_a_watch_that_told_something_goes_on_at_once() -> None:
    script = [events(("MODIFIED", named("a", version))) for version in range(2, 30)]
    async with FaultyServer(*script) as server:
        began = time.monotonic()
        assert len(await told(watch(server.client), 28)) == 28
        assert time.monotonic() - began < 5.0


CUTS: list[Callable[[], Handler]] = [
    lambda: refuse(409, "Conflict"),
    lambda: refuse(410, "Expired"),
    lambda: refuse(429, "TooManyRequests", Retry_After="0"),
    lambda: refuse(500, "InternalError"),
    lambda: refuse(503, "ServiceUnavailable"),
    lambda: events(cut=b'{"type": "MODI'),
    hang_up,
    lambda: text("null\n"),
]
NAMES = ["409", "410", "429", "500", "503", "half a line", "cut", "null"]


@pytest.mark.parametrize("cut", CUTS, ids=NAMES)
async def test_a_reflector_outlives_it(cut: Callable[[], Handler]) -> None:
    script = (cut(), items(1, named("a", 1)), cut(), events(("MODIFIED", named("a", 5))), silence())
    again = (items(4, named("a", 1)), events(("MODIFIED", named("a", 5))), silence())
    relists = cut in CUTS[:2]
    async with FaultyServer(*(script[:3] + again if relists else script)) as server, reflecting(server) as reflector:
        await eventually(lambda: reflector.list()[0]["metadata"]["resourceVersion"] == "5")


@pytest.mark.parametrize("cut", CUTS[2:], ids=NAMES[2:])
async def test_a_stores_watch_outlives_it(cut: Callable[[], Handler]) -> None:
    script = (events(("ADDED", named("a", 2))), cut(), cut(), cut(), events(("MODIFIED", named("a", 5))), silence())
    async with FaultyServer(*script) as server:
        heard = await told(watch(server.client), 2)
        assert [event.resource_version for event in heard] == ["2", "5"]
        asked = [request.query["resourceVersion"] for request in server.seen]
        assert asked == ["1", "2", "2", "2", "2"]


@pytest.mark.parametrize(("code", "error"), [(410, ExpiredError), (403, PermissionDeniedError)])
async def test_a_stores_watch_ends_where_it_cannot_go_on(code: int, error: type[Exception]) -> None:
    async with FaultyServer(refuse(code)) as server:
        with pytest.raises(error):
            await told(watch(server.client), 1)


async def test_a_watch_comes_back_when_it_was_asked_to() -> None:
    async with FaultyServer(refuse(429, Retry_After="1"), events(("ADDED", named("a", 2)))) as server:
        await told(watch(server.client), 1)
        assert gaps(server.watches())[0] > 0.99


async def test_a_server_that_stays_away_is_said() -> None:
    client = await KubeClient.open(KubeConfig(server="http://127.0.0.1:1"))
    try:
        with pytest.raises(UnavailableError, match=r"the API server http://127.0.0.1:1 has not answered for \d s"):
            await told(watch(client, patience=0.5), 1)
    finally:
        await client.close()


async def test_a_server_restored_from_a_backup_is_no_place_to_go_on() -> None:
    async with FaultyServer(END, silence(), reach=answer(TOO_NEW, 504)) as server:
        with pytest.raises(ExpiredError, match="Too large resource version"):
            await told(watch(server.client), 1)
