"""The client against a server that fails."""

from __future__ import annotations

import asyncio

import pytest

from klever.api.kinds import MODEL_JOB
from klever.errors import (
    ConflictError,
    ExhaustedError,
    ExpiredError,
    FailedPreconditionError,
    InvalidError,
    KleverError,
    PermissionDeniedError,
    UnavailableError,
)
from klever.kube import KubeClient, KubeConfig
from tests.unit.kube.faulty import FaultyServer, answer, events, hang_up, named, refuse

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
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    told = events(("ADDED", OBJ), ("BOOKMARK", named("", 5)), cut=b'{"type": "MODI')
    async with FaultyServer(told, events(("ERROR", gone))) as server:
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
