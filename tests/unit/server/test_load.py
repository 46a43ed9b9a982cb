"""What calls may take of the control plane together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

import pytest

from klever.auth import ANONYMOUS, Caller
from klever.catalog.catalogue import Catalogue, Version
from klever.errors import ExhaustedError
from klever.limits import Limits
from klever.server.auth import Action
from klever.server.calls import CALLER
from klever.server.load import Load
from klever.server.models import ModelHandlers
from klever.store.sqlite import SqliteStore
from klever.v1alpha1 import model_service_pb2 as pb
from tests.errors import because
from tests.unit.server.conftest import Author

MIB = 1 << 20
OWNER = Caller("owner")
LIST = Action("list", "Serving", "")
GET = Action("get", "Serving", "")


class Call:
    """The context of a call; `end` is its end."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[object], None]] = []

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        for callback in self._callbacks:
            callback(self)


def test_answers_that_are_not_read_take_little_memory_and_leave_room_for_the_owner() -> None:
    """500 clients that asked for 3 MB each, and read nothing, took 2.4 GiB of the control plane."""
    load, calls = Load(Limits(unread_bytes=8 * MIB)), [Call() for _ in range(4)]
    for call in calls[:3]:
        load.keep(bytes(2 * MIB), ANONYMOUS, call)
    with pytest.raises(ExhaustedError, check=because("TOOMANYREQUESTS")):
        load.keep(bytes(2 * MIB), ANONYMOUS, calls[3])
    load.keep(bytes(60_000), ANONYMOUS, calls[3])
    load.keep(bytes(2 * MIB), OWNER, calls[3])
    calls[0].end()
    load.keep(bytes(2 * MIB), ANONYMOUS, calls[3])


async def test_hundreds_of_lists_that_never_wait_leave_half_of_the_time_to_others() -> None:
    load, done = Load(Limits(anonymous_lists=4)), 0

    async def read() -> None:
        nonlocal done
        async with load.turn(LIST, ANONYMOUS):
            time.sleep(0.002)  # noqa: ASYNC251 - what is read without waiting
            done += 1

    lists = [asyncio.create_task(read()) for _ in range(100)]
    began = time.monotonic()
    await asyncio.sleep(0)
    async with load.turn(GET, ANONYMOUS), load.turn(LIST, OWNER):
        assert done <= 4
    await asyncio.gather(*lists)
    assert time.monotonic() - began > 2 * 100 * 0.002


async def test_a_list_alone_waits_for_nothing() -> None:
    load = Load(Limits(anonymous_lists=1))
    async with load.turn(LIST, ANONYMOUS):
        pass
    async with asyncio.timeout(20), load.turn(LIST, ANONYMOUS):
        pass


async def test_watches_of_models_read_in_turns(store: SqliteStore, catalogue: Catalogue, author: Author) -> None:
    """50 watches that began together kept the event loop from other calls for seconds."""
    await author.push("team/digits:v1", 2026)
    reading, most, real = 0, 0, catalogue.latest

    async def latest(repository: str) -> Version | None:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        for _ in range(5):
            await asyncio.sleep(0)
        reading -= 1
        return await real(repository)

    catalogue.latest = latest  # type: ignore[method-assign]
    models = ModelHandlers(store, catalogue, limits=Limits(anonymous_lists=2))

    async def first(caller: Caller) -> str:
        CALLER.set(caller.name)
        async with aclosing(models.watch_models(pb.WatchModelsRequest())) as events:
            return (await anext(events)).object.name

    assert await asyncio.gather(*(first(ANONYMOUS) for _ in range(20))) == ["digits"] * 20
    assert most == 2
    assert await asyncio.gather(*(first(OWNER) for _ in range(20))) == ["digits"] * 20
    assert most == 20
