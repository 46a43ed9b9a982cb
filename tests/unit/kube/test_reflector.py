"""The cache keeps what the server says, through cuts, lost time and silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from klever.api.kinds import MODEL_JOB, Object
from klever.kube import Reflector
from tests.unit.kube.faulty import (
    GONE,
    TOO_NEW,
    FaultyServer,
    Handler,
    answer,
    events,
    eventually,
    items,
    named,
    refuse,
    silence,
)


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


def lean(name: str, version: int) -> Object:
    obj = named(name, version)
    del obj["metadata"]["managedFields"]
    return obj


async def heard(reflector: Reflector, count: int) -> list[tuple[str, str]]:
    with reflector.subscribe() as changes:
        told = [await changes.next() for _ in range(count)]
    return [(type_, obj["metadata"]["name"]) for type_, obj in told]


async def test_an_unobserved_deletion_is_reported() -> None:
    script = (
        items(1, named("a", 1), named("b", 1)),
        events(("ERROR", GONE)),
        items(9, named("b", 1), named("c", 8)),
        silence(),
    )
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        with reflector.subscribe() as changes:
            told: dict[str, str] = {}
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
        reflector.note(lean("a", 5))
        found = reflector.get("n", "a")
        assert found is not None
        assert found["metadata"]["resourceVersion"] == "5"
    async with FaultyServer(items(1, named("a", 1)), late, silence()) as server, reflecting(server) as reflector:
        reflector.note(lean("a", 5))
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


async def test_changes_during_a_list_survive_it() -> None:
    script = (items(1, named("a", 1)), events(("ERROR", GONE)), items(4, named("a", 1)), silence())
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        reflector.note(lean("a", 5))
        reflector.note(lean("mine", 6))
        await eventually(lambda: len(server.watches()) == 2)
        assert [obj["metadata"]["resourceVersion"] for obj in reflector.list()] == ["5", "6"]


async def test_a_late_deletion_takes_nothing_newer_away() -> None:
    script = (items(1, named("a", 1)), events(("DELETED", named("a", 3)), ("ADDED", named("b", 9))), silence())
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        reflector.note(lean("a", 5))
        await eventually(lambda: len(reflector.list()) == 2)
        assert reflector.get("n", "a") == lean("a", 5)


@pytest.mark.parametrize(
    "cut", [events(("ERROR", TOO_NEW)), answer(TOO_NEW, 504), events()], ids=["said", "answered", "cut"]
)
async def test_a_restored_server_is_believed_in_all(cut: Handler) -> None:
    """Its versions are lower; objects that it does not know are gone, and what it has is right."""
    restored = items(5, named("a", 2), named("c", 4))
    script = (items(9, named("a", 8), named("b", 7)), cut, restored, silence())
    async with FaultyServer(*script, reach=answer(TOO_NEW, 504)) as server, reflecting(server) as reflector:
        with reflector.subscribe() as changes:
            assert [(await changes.next())[0] for _ in range(2)] == ["ADDED", "ADDED"]
            await eventually(lambda: len(server.watches()) == 2)
            heard = [await changes.next() for _ in range(3)]
        assert {(type_, obj["metadata"]["name"]) for type_, obj in heard} == {
            ("MODIFIED", "a"),
            ("DELETED", "b"),
            ("ADDED", "c"),
        }
        assert reflector.list() == [lean("a", 2), lean("c", 4)]
        reflector.note(lean("a", 6))
        assert reflector.list()[0]["metadata"]["resourceVersion"] == "6"


async def test_an_error_of_our_own_is_logged_and_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    nameless = {"metadata": {"resourceVersion": "2"}}
    script = (items(1, named("a", 1)), events(("ADDED", nameless)), items(3, named("b", 3)), silence())
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        await eventually(lambda: reflector.get("n", "b"))
        record = next(record for record in caplog.records if record.exc_info)
        assert server.url in record.getMessage()
        assert "listing again" in record.getMessage()
        assert record.exc_info is not None
        assert record.exc_info[0] is KeyError


async def test_the_log_names_the_server_and_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    script = (refuse(500, "InternalError"), items(1, named("a", 1)), refuse(500, "InternalError"), silence())
    async with FaultyServer(*script) as server, reflecting(server):
        await eventually(lambda: len(server.watches()) == 2)
        told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(told) == 2
        assert all(f"GET /apis/kleveross.io/v1alpha1/modeljobs at {server.url}: as told; " in line for line in told)


async def test_all_pages_are_one_list() -> None:
    script = (page("to b", named("a", 1)), page("to c", named("b", 1)), page("", named("c", 1)), silence())
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        assert [obj["metadata"]["name"] for obj in reflector.list("n")] == ["a", "b", "c"]
        await eventually(server.watches)
        assert tokens(server) == [None, "to b", "to c"]
        assert server.seen[-1].query["resourceVersion"] == "9"


async def test_an_object_on_no_page_is_deleted_after_the_last_page() -> None:
    script = (
        items(5, named("a", 1), named("b", 1), named("c", 1)),
        events(("ERROR", GONE)),
        page("to c", named("b", 1)),
        page("", named("c", 1)),
        silence(),
    )
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        with reflector.subscribe() as changes:
            heard = [await changes.next() for _ in range(4)]
        assert {(type_, obj["metadata"]["name"]) for type_, obj in heard[:3]} == {("ADDED", name) for name in "abc"}
        assert (heard[3][0], heard[3][1]["metadata"]["name"]) == ("DELETED", "a")


async def test_a_list_that_expires_between_its_pages_begins_anew() -> None:
    """The first page of a list that was not read to its end deletes nothing, and does not make the cache whole."""
    expired = answer(GONE, 410)
    script = (page("to b", named("a", 1)), expired, page("to c", named("b", 8)), page("", named("c", 8)), silence())
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        await eventually(server.watches)
        assert tokens(server) == [None, "to b", None, "to c"]
        assert reflector.list() == [lean("b", 8), lean("c", 8)]


async def test_a_cache_that_is_read_meanwhile_keeps_what_later_pages_have() -> None:
    known = (named("a", 1), named("b", 1))
    cut = (events(("ERROR", GONE)), page("to b", named("a", 1)), answer(GONE, 410))
    script = (items(5, *known), *cut, page("to b", named("a", 1)), page("", named("b", 1)), silence())
    async with FaultyServer(*script) as server, reflecting(server) as reflector:
        with reflector.subscribe() as changes:
            assert [(await changes.next())[0] for _ in known] == ["ADDED", "ADDED"]
            await eventually(lambda: len(server.watches()) == 2)
            assert reflector.list() == [lean("a", 1), lean("b", 1)]
            told = asyncio.create_task(changes.next())
            await asyncio.sleep(0)
            assert not told.done()  # nothing was deleted and added again
            told.cancel()


def page(token: str, *objects: Object) -> Handler:
    """A page of a list at version 9; the next one is had by `token`."""
    return answer({"metadata": {"resourceVersion": "9", "continue": token}, "items": list(objects)})


def tokens(server: FaultyServer) -> list[str | None]:
    """What each page was asked with."""
    return [request.query.get("continue") for request in server.seen if "watch" not in request.query]
