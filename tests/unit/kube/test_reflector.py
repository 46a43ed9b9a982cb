"""The cache keeps what the server says, through cuts, lost time and silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from klever.api.kinds import MODEL_JOB
from klever.kube import Reflector
from tests.unit.kube.faulty import FaultyServer, events, eventually, items, named, refuse, silence

GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}


@asynccontextmanager
async def reflecting(server: FaultyServer) -> AsyncIterator[Reflector]:
    reflector = Reflector(server.client, MODEL_JOB)
    running = asyncio.create_task(reflector.run())
    try:
        async with asyncio.timeout(20):
            await reflector.synced()
            yield reflector
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def heard(reflector: Reflector, count: int) -> list[tuple[str, str]]:
    with reflector.subscribe() as changes:
        told = [await changes.next() for _ in range(count)]
    return [(type_, obj["metadata"]["name"]) for type_, obj in told]


async def test_what_vanished_while_nobody_watched_is_told_as_deleted() -> None:
    script = (
        items(1, named("a", 1), named("b", 1)),
        events(("ERROR", GONE)),
        items(9, named("b", 1), named("c", 8)),
        silence(),
    )
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        with reflector.subscribe() as changes:
            told = {}
            while len(told) < 3 or told.get("a") != "DELETED":
                type_, obj = await changes.next()
                told[obj["metadata"]["name"]] = type_
        assert told == {"a": "DELETED", "b": "ADDED", "c": "ADDED"}
        assert [obj["metadata"]["name"] for obj in reflector.list("n")] == ["b", "c"]
        assert "managedFields" not in reflector.list()[0]["metadata"]


async def test_a_cut_watch_goes_on_where_it_was() -> None:
    script = (
        items(1),
        events(("ADDED", named("a", 2)), ("BOOKMARK", named("", 7)), cut=b'{"type":'),
        refuse(500, "InternalError"),
        events(("MODIFIED", named("a", 8))),
        silence(),
    )
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        with reflector.subscribe() as changes:
            version = "0"
            while version != "8":
                _, obj = await changes.next()
                version = obj["metadata"]["resourceVersion"]
        asked = [request.query.get("resourceVersion") for request in server.seen if "watch" in request.query]
        assert asked[:3] == ["1", "7", "7"]
        assert sum("watch" not in request.query for request in server.seen) == 1


async def test_a_server_that_is_away_at_first() -> None:
    script = (refuse(500, "InternalError"), items(1, named("a", 1)), silence())
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        assert await heard(reflector, 1) == [("ADDED", "a")]


async def test_a_write_is_read_back_and_never_rolled_back() -> None:
    late = events(("MODIFIED", named("a", 3)))
    async with FaultyServer(items(1, named("a", 1)), silence()) as server, reflecting(server) as reflector:
        reflector.note(named("a", 5))
        found = reflector.get("n", "a")
        assert found is not None
        assert found["metadata"]["resourceVersion"] == "5"
    async with FaultyServer(items(1, named("a", 1)), late, silence()) as server, reflecting(server) as reflector:
        reflector.note(named("a", 5))
        await eventually(lambda: sum("watch" in request.query for request in server.seen) == 2)
        found = reflector.get("n", "a")
        assert found is not None
        assert found["metadata"]["resourceVersion"] == "5"


async def test_a_slow_subscriber_hears_of_each_object_once() -> None:
    told = [("MODIFIED", named("a", version)) for version in range(2, 500)]
    script = (items(1, named("a", 1)), events(*told), silence())
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        with reflector.subscribe() as changes:
            await eventually(lambda: reflector.list()[0]["metadata"]["resourceVersion"] == "499")
            assert (await changes.next())[1]["metadata"]["resourceVersion"] == "499"
