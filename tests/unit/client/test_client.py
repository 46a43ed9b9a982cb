"""The client, against a server whose answers the tests choose. Each test of calls runs with and without asyncio."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest

from klever import AsyncClient, Client
from klever.errors import (
    DeadlineError,
    ExpiredError,
    FailedPreconditionError,
    FieldViolation,
    InvalidError,
    KleverError,
    NotFoundError,
    UnavailableError,
)
from klever.server.binding import STREAM_DEADLINE
from klever.server.errors import CODES
from klever.v1alpha1.common_pb2 import LogLine, WatchError, WatchEvent
from klever.v1alpha1.serving_pb2 import Serving
from klever.v1alpha1.serving_service_pb2 import (
    CreateServingRequest,
    GetServingRequest,
    ListServingsRequest,
    ListServingsResponse,
    WatchServingsRequest,
    WatchServingsResponse,
)
from tests.errors import because
from tests.unit.cli.costs import least_seconds, slowness
from tests.unit.client.server import Answer, running


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SERVER", "TOKEN", "NAMESPACE", "CA_FILE", "PLAINTEXT"):
        monkeypatch.delenv(f"KLEVER_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def serving(version: str = "", name: str = "digits", **conditions: str) -> Serving:
    made = Serving()
    made.metadata.name, made.metadata.resource_version = name, version
    for kind, status in conditions.items():
        made.status.conditions.add(type=kind, status=status, message=f"{kind} is {status}")
    return made


def event(kind: Any, version: str) -> WatchServingsResponse:
    return WatchServingsResponse(type=kind, object=serving(version))


class Failing:
    """Answers after some failures, and keeps the requests."""

    def __init__(self, failures: int, answer: Any, error: type[KleverError] = UnavailableError) -> None:
        self.requests: list[Any] = []
        self._failures, self._answer, self._error = failures, answer, error

    def __call__(self, request: Any, _: grpc.ServicerContext) -> Any:
        self.requests.append(request)
        if len(self.requests) <= self._failures:
            raise self._error("not now")
        return self._answer


async def both(answers: dict[str, Answer], call: str, *arguments: Any, **fields: Any) -> Iterator[Any]:
    """Return the results of a call, such as `servings.get`, with each client. Streams and lists become lists."""
    results = []
    with running(**answers) as server:
        with Client(server) as client:
            result = _find(client, call)(*arguments, **fields)
            results.append(list(result) if inspect.isgenerator(result) else result)
        async with AsyncClient(server) as other:
            result = _find(other, call)(*arguments, **fields)
            results.append([item async for item in result] if inspect.isasyncgen(result) else await result)
    return iter(results)


def _find(client: Any, call: str) -> Any:
    for name in call.split("."):
        client = getattr(client, name)
    return client


async def test_a_read_is_tried_again_while_the_server_is_unavailable() -> None:
    answer = Failing(2, serving("1"))
    assert [s.metadata.name for s in await both({"GetServing": answer}, "servings.get", "digits")] == ["digits"] * 2
    assert answer.requests == [GetServingRequest(namespace="default", name="digits")] * 4


async def test_the_tries_of_a_create_have_one_request_id() -> None:
    answer = Failing(1, serving("1"))
    await both({"CreateServing": answer}, "servings.create", {"metadata": {"name": "digits"}})
    first, second, other = answer.requests
    assert first == second == CreateServingRequest(namespace="default", serving=serving(), request_id=first.request_id)
    assert first.request_id
    assert first.request_id != other.request_id


async def test_a_change_is_tried_once() -> None:
    answer = Failing(9, serving())
    with pytest.raises(UnavailableError):
        await both({"PromoteServing": answer}, "promote", "digits")
    assert len(answer.requests) == 1


def wait_until_lost(client: Client) -> None:
    """Wait until the client knows that its connection is closed. A call before that may fail after it is sent."""
    lost = threading.Event()

    def note(state: grpc.ChannelConnectivity) -> None:
        if state is not grpc.ChannelConnectivity.READY:
            lost.set()

    channel = client.connection._channel
    channel.subscribe(note)
    assert lost.wait(30)
    channel.unsubscribe(note)


def test_a_change_that_did_not_reach_the_server_waits_for_its_restart() -> None:
    answer = Failing(0, serving("1"))
    with running(PromoteServing=answer) as server:
        client = Client(server)
        client.promote("digits")
    wait_until_lost(client)
    restarted = threading.Event()

    def restart() -> None:
        with running(server, PromoteServing=answer):
            restarted.wait(30)

    with ThreadPoolExecutor() as pool:
        pool.submit(restart)
        assert client.promote("digits") == serving("1")
        restarted.set()
    client.close()
    assert len(answer.requests) == 2


@pytest.mark.parametrize("kind", CODES)
async def test_an_error_of_the_server_arrives_as_it_was_raised(kind: type[KleverError]) -> None:
    def fail(_request: Any, _context: Any) -> None:
        raise kind("it went wrong", reason="WRONG", metadata={"name": "digits"})

    with pytest.raises(kind, check=because("WRONG")) as raised:
        await both({"PromoteServing": fail}, "promote", "digits")
    assert (raised.value.message, raised.value.metadata) == ("it went wrong", {"name": "digits"})


async def test_an_invalid_field_arrives_with_its_path() -> None:
    violation = FieldViolation("spec.predictors[0].model", "must not be empty")

    def fail(_request: Any, _context: Any) -> None:
        raise InvalidError(violations=(violation,))

    with pytest.raises(InvalidError) as raised:
        await both({"ApplyServing": fail}, "servings.apply", serving())
    assert raised.value.violations == (violation,)


def test_an_object_with_an_unknown_field_is_not_sent() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(InvalidError, check=because("INVALID", "spec.modell")):
        client.servings.create({"metadata": {"name": "digits"}, "spec": {"modell": "x"}})


async def test_a_list_has_the_objects_of_all_pages() -> None:
    def page(request: ListServingsRequest, _: Any) -> ListServingsResponse:
        last = request.page_token == "next"
        return ListServingsResponse(items=[serving(name="b" if last else "a")], next_page_token="" if last else "next")

    for found in await both({"ListServings": page}, "servings.list", labels="team=vision"):
        assert [s.metadata.name for s in found] == ["a", "b"]


async def test_a_stream_has_a_later_deadline_than_that_of_the_server() -> None:
    left = []

    def lines(_request: Any, context: grpc.ServicerContext) -> Iterator[LogLine]:
        left.append(context.time_remaining())
        yield LogLine(text="line")

    for found in await both({"StreamLogs": lines}, "servings.logs", "digits", follow=True):
        assert [line.text for line in found] == ["line"]
    assert all(seconds > 2 * STREAM_DEADLINE for seconds in left)


def breaking(watches: list[list[WatchServingsResponse]], asked: list[str]) -> Answer:
    """Return a watch whose connections end one after the other."""

    def watch(request: WatchServingsRequest, _: Any) -> Iterator[WatchServingsResponse]:
        asked.append(request.resource_version)
        yield from watches[len(asked) - 1]
        raise UnavailableError("the server stops", reason="STOPPING")

    return watch


WATCHES = [
    [event(WatchEvent.ADDED, "9"), event(WatchEvent.ADDED, "3")],  # in no order of versions, and without a bookmark
    [event(WatchEvent.ADDED, "9"), event(WatchEvent.BOOKMARK, "10"), event(WatchEvent.MODIFIED, "12")],
    [event(WatchEvent.DELETED, "3"), event(WatchEvent.MODIFIED, "14")],
]
EXPECTED = ["9", "3", "9", "12", "3", "14"]


def test_a_watch_resumes_where_it_lost_the_connection() -> None:
    asked: list[str] = []
    with running(WatchServings=breaking(WATCHES, asked)) as server, Client(server) as client:
        events = client.servings.watch()
        assert [next(events).object.metadata.resource_version for _ in EXPECTED] == EXPECTED
        events.close()
    assert asked == ["", "", "12"]


async def test_so_does_one_with_asyncio() -> None:
    asked: list[str] = []
    with running(WatchServings=breaking(WATCHES, asked)) as server:
        async with AsyncClient(server) as client, aclosing(client.servings.watch(resource_version="5")) as events:
            assert [(await anext(events)).object.metadata.resource_version for _ in EXPECTED] == EXPECTED
    assert asked == ["5", "3", "12"]


async def test_a_version_that_is_too_old_ends_a_watch() -> None:
    def expired(_request: Any, _context: Any) -> Iterator[WatchServingsResponse]:
        yield WatchServingsResponse(type=WatchEvent.ERROR, error=WatchError(reason="EXPIRED", message="list again"))

    with pytest.raises(ExpiredError, check=because("EXPIRED")):
        await both({"WatchServings": expired}, "servings.watch", resource_version="1")


def test_a_watch_of_a_server_that_is_not_there_fails_at_once() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(UnavailableError):
        next(client.servings.watch())


def listing(*states: Serving) -> dict[str, Answer]:
    """Return the answers of a server with a Serving that has these states one after the other."""
    first, *later = states

    def watch(_request: Any, context: grpc.ServicerContext) -> Iterator[WatchServingsResponse]:
        for state in later:
            yield WatchServingsResponse(type=WatchEvent.MODIFIED, object=state)
        while context.is_active() and (context.time_remaining() or 0) > 0.01:
            yield WatchServingsResponse(type=WatchEvent.BOOKMARK, object=serving("9"))

    return {"ListServings": lambda *_: ListServingsResponse(items=[first]), "WatchServings": watch}


async def test_a_wait_ends_with_the_object_that_has_the_condition() -> None:
    seen: list[Serving] = []
    answers = listing(serving(Ready="False"), serving(Ready="True", Progressing="True"), ready := serving(Ready="True"))
    for found in await both(answers, "servings.wait", "digits", "Ready", on_change=seen.append):
        assert found == ready
    assert len(seen) == 6


async def test_a_wait_ends_when_the_condition_can_no_longer_hold() -> None:
    with pytest.raises(FailedPreconditionError):
        await both(listing(serving(), serving(Progressing="False")), "wait", "digits")


async def test_a_wait_that_takes_too_long_says_what_is_missing() -> None:
    with pytest.raises(DeadlineError) as raised:
        await both(listing(serving(Ready="False")), "wait", "digits", timeout=0.3)
    assert "Ready is False" in raised.value.message


async def test_a_wait_for_an_object_that_does_not_exist_ends_at_once() -> None:
    empty: dict[str, Answer] = {"ListServings": lambda *_: ListServingsResponse()}
    assert list(await both(empty, "servings.wait_deleted", "digits")) == [None, None]
    with pytest.raises(NotFoundError):
        await both(empty, "wait", "digits")


def test_both_clients_have_the_same_calls() -> None:
    def calls(kind: Any) -> dict[str, list[str]]:
        public = [name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))]
        return {name: list(inspect.signature(getattr(kind, name)).parameters) for name in public}

    clients: list[Any] = [Client("127.0.0.1:1"), AsyncClient("127.0.0.1:1")]
    parts = ("", "projects", "models", "versions", "jobs", "servings")
    sync, other = ({part: calls(getattr(c, part) if part else c) for part in parts} for c in clients)
    assert sync == other


SERVER = {"klever.server", "klever.store", "klever.controllers", "klever.cli", "aiohttp", "numpy", "yaml"}
"""Modules of the server, and others that an import of the client does not need."""


def loaded(code: str) -> set[str]:
    """Return the modules that a program loads."""
    command = [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("name", ["Client", "AsyncClient"])
def test_an_import_of_the_client_loads_no_module_of_the_server(name: str) -> None:
    modules = loaded(f"from klever import {name}")
    assert "grpc" in modules
    assert not modules & SERVER


def test_an_import_of_klever_loads_no_grpc() -> None:
    assert not loaded("import klever.errors") & {"grpc", "google.protobuf"}


@pytest.mark.slow
def test_the_first_call_comes_soon() -> None:
    with running(GetServing=lambda *_: serving("1")) as server:
        call = f"from klever import Client; Client({server!r}).servings.get('digits')"
        programs = ["pass", "from klever import Client", call]
        bare, imported, called = least_seconds(*([sys.executable, "-c", program] for program in programs))
    assert imported - bare < 0.300 * slowness(bare)
    assert called - imported < 0.400 * slowness(bare)
