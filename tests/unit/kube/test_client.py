"""The client against a server that fails."""

from __future__ import annotations

import asyncio

import pytest

from klever.api.kinds import MODEL_JOB
from klever.errors import (
    ConflictError,
    DeadlineError,
    ExhaustedError,
    ExpiredError,
    FailedPreconditionError,
    InvalidError,
    KleverError,
    PermissionDeniedError,
    UnavailableError,
)
from klever.kube import KubeClient, KubeConfig
from tests.unit.kube.faulty import (
    GONE,
    TOO_NEW,
    FaultyServer,
    Handler,
    answer,
    events,
    hang_up,
    items,
    named,
    refuse,
    slow,
    text,
)

OBJ = named("a", 1)


@pytest.mark.parametrize("code", [429, 503])
async def test_a_busy_server_is_asked_again_when_it_says(code: int) -> None:
    async with FaultyServer(refuse(code, Retry_After="0"), refuse(code, Retry_After="0"), answer(OBJ)) as server:
        assert (await server.client.create(MODEL_JOB, OBJ))["metadata"]["name"] == "a"
        assert len(server.seen) == 3


async def test_a_write_whose_answer_is_lost_is_not_repeated() -> None:
    async with FaultyServer(hang_up()) as server:
        with pytest.raises(UnavailableError, match="does not answer"):
            await server.client.patch(MODEL_JOB, "n", "a", {})
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (403, "Forbidden", PermissionDeniedError),
        (409, "Conflict", ConflictError),
        (410, "Expired", ExpiredError),
        (413, "RequestEntityTooLarge", InvalidError),
        (500, "InternalError", UnavailableError),
        (507, "", ExhaustedError),
    ],
)
async def test_refusals(code: int, reason: str, error: type[KleverError]) -> None:
    async with FaultyServer(refuse(code, reason)) as server:
        with pytest.raises(error, match="as told"):
            await server.client.get(MODEL_JOB, "n", "a")


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (409, "Conflict", ConflictError),
        (410, "Expired", ExpiredError),
        (429, "TooManyRequests", ExhaustedError),
        (500, "InternalError", UnavailableError),
        (503, "ServiceUnavailable", UnavailableError),
    ],
)
async def test_refused_watches(code: int, reason: str, error: type[KleverError]) -> None:
    async with FaultyServer(refuse(code, reason)) as server:
        with pytest.raises(error, match="as told"):
            await anext(server.client.watch(MODEL_JOB, resource_version="1"))
        assert len(server.seen) == 1


async def test_the_servers_own_failure_names_server_and_request() -> None:
    async with FaultyServer(refuse(500, "InternalError")) as server:
        with pytest.raises(UnavailableError, match=f"PATCH /apis/.*/modeljobs/a at {server.url}: as told"):
            await server.client.patch(MODEL_JOB, "n", "a", {})


async def test_data_older_than_what_was_seen_is_an_expired_position() -> None:
    async with FaultyServer(items(1), reach=answer(TOO_NEW, 504)) as server:
        with pytest.raises(ExpiredError, match="Too large resource version"):
            await server.client.reach(MODEL_JOB, resource_version="9")
    async with FaultyServer(events(("ERROR", TOO_NEW))) as server:
        with pytest.raises(ExpiredError, match="Too large resource version"):
            await anext(server.client.watch(MODEL_JOB, resource_version="9"))


NO_API_SERVERS: list[Handler] = [
    text("<html>welcome</html>"),
    text("moved", 302, Location="https://example.com/"),
    text("null"),
    text("[]"),
    text(""),
    answer({"metadata": {}}),
    answer({"metadata": {"resourceVersion": "1"}, "items": ["a"]}),
    answer({"items": {}}),
]


@pytest.mark.parametrize("handler", NO_API_SERVERS)
async def test_another_servers_answers_are_said(handler: Handler) -> None:
    async with FaultyServer(handler) as server:
        with pytest.raises(UnavailableError, match=f"{server.url}.*is the address right") as caught:
            await server.client.list(MODEL_JOB)
        assert "GET /apis/kleveross.io/v1alpha1/modeljobs" in str(caught.value)


WATCHED = [
    text("<html>welcome</html>\n"),
    text("moved\n", 302, Location="https://example.com/"),
    text("null\n"),
    text('{"type": "ADDED"}\n'),
    text('{"type": "ADDED", "object": {"metadata": null}}\n'),
    text('{"type": 1, "object": {}}\n'),
]


@pytest.mark.parametrize("handler", WATCHED)
async def test_another_servers_watches_are_said(handler: Handler) -> None:
    async with FaultyServer(handler) as server:
        with pytest.raises(UnavailableError, match=f"/modeljobs at {server.url}.*is the address right"):
            await anext(server.client.watch(MODEL_JOB, resource_version="1"))


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "body"])
async def test_an_answer_that_comes_too_late(headers: bool) -> None:
    async with FaultyServer(slow(headers=headers)) as server:
        with pytest.raises(DeadlineError, match=f"GET /x: no answer from {server.url} within 0.2 s"):
            await server.client.raw("GET", "/x", deadline=0.2)


async def test_a_pause_longer_than_the_deadline_is_not_waited_for() -> None:
    async with FaultyServer(refuse(429, Retry_After="100")) as server:
        with pytest.raises(ExhaustedError, match="as told"):
            await server.client.raw("GET", "/x", deadline=5.0)
        assert len(server.seen) == 1


async def test_a_refused_token_is_not_tried_for_ever() -> None:
    async with FaultyServer(refuse(401, "Unauthorized")) as server:
        with pytest.raises(KleverError, match="as told"):
            await server.client.get(MODEL_JOB, "n", "a")
        assert len(server.seen) == 1


async def test_a_kind_that_is_not_installed() -> None:
    async with FaultyServer(refuse(404, "NotFound")) as server:
        with pytest.raises(FailedPreconditionError, match="kubectl apply -f config/crd/"):
            await server.client.list(MODEL_JOB)


@pytest.mark.parametrize(("namespace", "name"), [("n", ""), ("", "a"), ("n", ".."), ("n", "a/b"), ("n", "a%2fb")])
async def test_no_name_leads_elsewhere(namespace: str, name: str) -> None:
    async with FaultyServer(answer({})) as server:
        with pytest.raises(InvalidError):
            await server.client.delete(MODEL_JOB, namespace, name)
        assert not server.seen


async def test_nobody_listens() -> None:
    client = await KubeClient.open(KubeConfig(server="http://127.0.0.1:1"))
    try:
        with pytest.raises(KleverError, match=r"does not answer|no answer"):
            await client.raw("GET", "/readyz", deadline=0.5)
    finally:
        await client.close()


async def test_a_watch_ends_at_half_a_line_and_an_error_is_raised() -> None:
    told = events(("ADDED", OBJ), ("BOOKMARK", named("", 5)), cut=b'{"type": "MODI')
    async with FaultyServer(told, events(("ERROR", GONE))) as server:
        heard = [event async for event in server.client.watch(MODEL_JOB, resource_version="1")]
        assert [type_ for type_, _ in heard] == ["ADDED", "BOOKMARK"]
        with pytest.raises(ExpiredError, match="too old"):
            await anext(server.client.watch(MODEL_JOB, resource_version="5"))


async def test_requests_are_throttled() -> None:
    async with FaultyServer(answer(OBJ)) as server:
        client = await KubeClient.open(KubeConfig(server=server.url), qps=20, burst=2)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*(client.get(MODEL_JOB, "n", "a") for _ in range(6)))
        await client.close()
        assert loop.time() - started > 3 / 20
