"""What every router promises; an implementation's test inherits `RouterContract` and gives its fixtures."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
import yaml
from aiohttp import web
from yarl import URL

from klever.errors import InvalidError
from klever.routers import Route, RouteKey, Router, Target
from klever.runtimes.protocols import ANY, OPEN_INFERENCE, OPENAI
from klever.traffic.matches import HeaderMatch, Match, MatchType, header_matches

__all__ = ["KEY", "RouterContract", "Upstream", "route", "target"]

KEY = RouteKey("team", "digits")
INFER = "/v2/models/digits/infer"
PUBLISHED = ("/v2", "/v2/health/ready", "/v2/models/digits", "/v2/models/digits/versions/1/ready")
REFUSED = (
    "/v2/repository/index",
    "/v2/repository/models/digits/load",
    "/v2/systemsharedmemory/status",
    "/v2/models/digits/load",
    "/v2/models/other/infer",
    "/v2/logging",
    "/v2/models/digits/infer/../../../repository/index",
    "/v2/models/digits/infer/%2e%2e/%2e%2e/%2e%2e/repository/index",
    "//v2/repository/index",
    "/V2/repository/index",
    "/metrics",
)
ORIGINAL = """
name: beta
matches:
  - headers:                                                # {x-team: {exact: vision}, x-stage: {prefix: beta-}}
      - {name: x-team, exact: vision}
      - {name: x-stage, prefix: beta-}
  - headers: [{name: x-tag, regex: ".*gold.*"}]             # {x-tag: {include: ".*gold.*"}}
  - headers:                                                # {x-agent: {exclude: bot}}
      - {name: x-agent, present: true}
      - {name: x-agent, regex: ".*bot.*", negate: true}
"""
USER = "x-user"
MATCHES: tuple[tuple[HeaderMatch, str | None, str | None], ...] = (
    (HeaderMatch(USER, "me"), "me", "mel"),
    (HeaderMatch(USER, "me"), "me", None),
    (HeaderMatch(USER, "beta-", MatchType.PREFIX), "beta-1", "a-beta-1"),
    (HeaderMatch(USER, "beta-[0-9]+", MatchType.REGEX), "beta-12", "beta-12a"),
    (HeaderMatch(USER, type=MatchType.PRESENT), "me", None),
    (HeaderMatch(USER, "me", negate=True), "mel", "me"),
    (HeaderMatch(USER, "me", negate=True), None, "me"),
    (HeaderMatch(USER, "beta-", MatchType.PREFIX, negate=True), None, "beta-1"),
    (HeaderMatch(USER, ".*beta.*", MatchType.REGEX, negate=True), "alpha", "a-beta-1"),
    (HeaderMatch(USER, type=MatchType.PRESENT, negate=True), None, "me"),
)
"""A condition, a value of the header for which it holds, and one for which it does not. None: without the header."""


class Upstream:
    """Answers every path with its own name and the path that it was asked for, while it does not hold.

    To OpenAI's API it streams: a first piece at once, and a last one when it does not hold.
    """

    def __init__(self, name: str, host: str = "127.0.0.1") -> None:
        self.name = name
        self.host = host
        self.address = ""
        self.headers: dict[str, str] = {}
        """Of the last request."""
        self.count = 0
        """Requests so far."""
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.ends = list[str]()
        """For each item, which is taken, a request is ended without an answer."""

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, self.host, 0).start()
        host, port = runner.addresses[0][:2]
        self.address = f"{host}:{port}"
        return runner

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.headers = dict(request.headers)
        self.count += 1
        self.asked.set()
        if self.ends and request.transport is not None:
            self.ends.pop()
            request.transport.abort()
        if request.path.startswith("/openai/"):
            return await self._stream(request)
        await self.answers.wait()
        return web.json_response({"who": self.name, "path": request.path})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await self.answers.wait()
        await response.write(b"data: last\n\n")
        return response


def target(
    predictor: str, weight: int, *upstreams: Upstream, matches: tuple[Match, ...] = (), workload: str = ""
) -> Target:
    addresses = tuple(upstream.address for upstream in upstreams)
    return Target(predictor, workload or f"r-{predictor}", OPEN_INFERENCE, weight, addresses, (), matches)


def route(*targets: Target, key: RouteKey = KEY) -> Route:
    return Route(key, targets)


class RouterContract(ABC):
    """Tests get `router`, started and empty, from a fixture of that name."""

    @abstractmethod
    async def restarted(self) -> Router:
        """A router as the control plane has it after it was killed: the gateway has gone on meanwhile."""

    @pytest.fixture
    def here(self) -> str:
        """The address at which the gateway reaches this machine."""
        return "127.0.0.1"

    @pytest.fixture
    async def upstreams(self, here: str) -> AsyncIterator[tuple[Upstream, Upstream]]:
        both = (Upstream("a", here), Upstream("b", here))
        runners = [await upstream.start() for upstream in both]
        yield both
        for upstream, runner in zip(both, runners, strict=True):
            upstream.answers.set()
            await runner.cleanup()

    @pytest.fixture
    async def http(self) -> AsyncIterator[aiohttp.ClientSession]:
        async with aiohttp.ClientSession() as session:
            yield session

    def test_a_match_on_a_header_that_never_arrives_is_not_supported(self, router: Router) -> None:
        mine = HeaderMatch("x-user", "me")
        assert router.check(((mine, HeaderMatch("cookie", "a", MatchType.PREFIX)),)) == ()
        found = router.check(((mine, HeaderMatch("te", "b")), (HeaderMatch("upgrade", "c"),)))
        assert [violation.field for violation in found] == ["matches[0].headers[1].name", "matches[1].headers[0].name"]

    async def test_a_request_that_reaches_no_replica_is_sent_to_another_one(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        live, dead = upstreams[0], Upstream("dead")
        dead.address = "127.0.0.1:1"
        await router.publish(route(target("main", 100, live, dead)))
        for _ in range(20):
            async with http.post(router.url(KEY) + INFER, json={}) as response:
                assert response.status == 200

    @pytest.mark.parametrize(("retries", "status"), [(0, 503), (1, 200)])
    async def test_a_request_whose_replica_ended_is_sent_again_if_the_serving_asks_for_it(
        self,
        router: Router,
        upstreams: tuple[Upstream, Upstream],
        http: aiohttp.ClientSession,
        retries: int,
        status: int,
    ) -> None:
        served = route(target("main", 100, *upstreams))
        await router.publish(replace(served, retries=retries))
        upstreams[0].ends = upstreams[1].ends = ["one of the two"]
        async with http.post(router.url(KEY) + INFER, json={}) as response:
            assert response.status == status

    async def test_shares(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        await router.publish(route(target("main", 80, a), target("canary", 20, b)))
        seen = [await who(router, http) for _ in range(400)]
        assert 40 < seen.count("b") < 130  # by chance it is not once in ten million times

    @pytest.mark.parametrize("case", MATCHES)
    async def test_a_header_match_goes_before_the_shares(
        self,
        router: Router,
        upstreams: tuple[Upstream, Upstream],
        http: aiohttp.ClientSession,
        case: tuple[HeaderMatch, str | None, str | None],
    ) -> None:
        a, b = upstreams
        match, value, other = case
        await router.publish(route(target("main", 100, a), target("beta", 0, b, matches=((match,),))))
        for sent, answers in ((value, "b"), (other, "a")):
            headers = {} if sent is None else {USER: sent}
            assert {await who(router, http, headers) for _ in range(10)} == {answers}

    async def test_any_match_takes_a_request_if_all_its_conditions_hold(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        matches = ((HeaderMatch("x-a", "1"), HeaderMatch("x-b", "1")), (HeaderMatch("x-c", "1"),))
        await router.publish(route(target("main", 100, a), target("beta", 0, b, matches=matches)))
        assert await who(router, http, {"x-a": "1", "x-b": "1"}) == "b"
        assert await who(router, http, {"x-c": "1"}) == "b"
        assert await who(router, http, {"x-a": "1"}) == "a"

    async def test_header_matches_of_the_original_platform(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        """trafficMatchs is a list, of which any entry may hold; `include` and `exclude` are regular expressions.

        `spec.defaultPredictor` is the predictor without matches: what no other takes. Without one the rest is a 404.
        """
        a, b = upstreams
        matches = header_matches(yaml.safe_load(ORIGINAL))
        taken = ({"x-team": "vision", "x-stage": "beta-1"}, {"x-tag": "a-gold-b"}, {"x-agent": "curl"})
        left: tuple[dict[str, str], ...] = ({"x-team": "vision", "x-agent": "bot"}, {"x-agent": "my-bot-1"})
        await router.publish(route(target("main", 100, a), target("beta", 0, b, matches=matches)))
        assert [await who(router, http, headers) for headers in taken] == ["b"] * 3
        assert [await who(router, http, headers) for headers in left] == ["a"] * 2
        await router.publish(route(target("beta", 0, b, matches=matches)))
        assert await who(router, http, taken[0]) == "b"
        assert await status(router, http, INFER) == 404

    async def test_all_of_a_targets_endpoints_get_requests(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        await router.publish(route(target("main", 100, *upstreams)))
        assert {await who(router, http) for _ in range(50)} == {"a", "b"}

    async def test_a_model_gets_the_headers_of_a_request_but_not_its_token(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        await router.publish(route(target("main", 100, upstreams[0])))
        assert await who(router, http, {"x-mine": "kept", "Authorization": "Bearer secret"}) == "a"
        sent = {name.lower(): value for name, value in upstreams[0].headers.items()}
        assert sent["x-mine"] == "kept"
        assert "authorization" not in sent

    async def test_only_allow_listed_paths_are_published(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        await router.publish(route(target("main", 100, upstreams[0])))
        for path in PUBLISHED:
            assert await status(router, http, path) == 200, path
        for path in REFUSED:
            assert await status(router, http, path) == 404, path

    async def test_an_answer_is_passed_on_piece_by_piece(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        one, _ = upstreams
        await router.publish(route(replace(target("one", 100, one), protocol=OPENAI)))
        one.answers.clear()
        async with http.post(router.url(KEY) + "/openai/v1/chat/completions") as response:
            assert await response.content.readline() == b"data: first\n"
            one.answers.set()
            assert (await response.content.read()).endswith(b"data: last\n\n")

    async def test_a_predictor_that_publishes_every_path_opens_none_of_anothers(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        custom = replace(target("custom", 50, b), protocol=ANY)
        await router.publish(route(custom, target("main", 50, a)))
        assert {await who(router, http) for _ in range(40)} == {"a", "b"}
        assert {await who(router, http, path="/v2/repository/index") for _ in range(40)} == {"b"}

    async def test_shares_that_are_no_whole_are_refused(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        await router.publish(route(target("main", 100, a)))
        with pytest.raises(InvalidError, match="must sum to 100, not 90"):
            await router.publish(route(target("main", 70, a), target("canary", 20, b)))
        assert await who(router, http) == "a"

    async def test_a_route_that_the_gateway_refuses_changes_nothing(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        before = route(target("main", 100, a))
        await router.publish(before)
        broken = HeaderMatch("x-user", "(", MatchType.REGEX)
        async with asyncio.timeout(5):  # it is told, not waited for in vain
            with pytest.raises(InvalidError, match="reject"):
                await router.publish(route(target("main", 100, b), target("beta", 0, b, matches=((broken,),))))
        assert await who(router, http) == "a"
        other = route(target("main", 100, b), key=RouteKey("team-b", KEY.serving))
        await router.publish(other)
        assert await who(router, http, key=other.key) == "b"
        again = await self.restarted()
        assert set(await again.routes()) == {before, other}
        assert await who(again, http) == "a"

    async def test_a_refused_change_leaves_concurrent_changes_alone(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        broken = target("beta", 0, b, matches=((HeaderMatch("x-user", "(", MatchType.REGEX),),))
        keys = [RouteKey("team", f"digits-{number}") for number in range(20)]
        good = [router.publish(route(target("main", 100, a), key=key)) for key in keys]
        told = await asyncio.gather(
            *good[:10],
            router.publish(route(target("main", 100, a), broken)),
            *good[10:],
            router.withdraw(keys[0]),
            return_exceptions=True,
        )
        assert [type(error) for error in told if error is not None] == [InvalidError]
        assert await status(router, http, INFER) == 404
        for key in keys[1:]:
            async with http.get(router.url(key) + "/v2/models/" + key.serving) as response:
                assert response.status == 200

    async def test_a_change_whose_asker_goes_away_is_made_or_not_and_never_half(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        await router.publish(route(target("main", 100, a)))
        asked = asyncio.create_task(router.publish(route(target("main", 100, b))))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        await router.publish(route(target("main", 100, b)))
        assert {await who(router, http) for _ in range(20)} == {"b"}

    async def test_a_route_without_endpoints_and_none(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        assert await status(router, http, INFER) == 404
        await router.publish(route(target("main", 100)))
        assert await status(router, http, INFER) == 503
        await router.withdraw(KEY)
        assert await status(router, http, INFER) == 404
        await router.withdraw(KEY)

    async def test_servings_of_one_name_in_two_namespaces_are_apart(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        other = RouteKey("team-b", KEY.serving)
        await router.publish(route(target("main", 100, a)))
        await router.publish(route(target("main", 100, b), key=other))
        assert (await who(router, http), await who(router, http, key=other)) == ("a", "b")
        await router.withdraw(KEY)
        assert await who(router, http, key=other) == "b"
        assert await router.routes() == (route(target("main", 100, b), key=other),)

    async def test_a_request_under_way_survives_the_change_of_its_route(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        await router.publish(route(target("main", 100, a)))
        a.answers.clear()
        slow = asyncio.create_task(who(router, http))
        await a.asked.wait()
        await router.publish(route(target("main", 100, b, workload="r-new")))
        assert await who(router, http) == "b"
        draining = asyncio.create_task(router.drain(KEY, "r-main"))
        await asyncio.wait([draining], timeout=0.3)
        assert not draining.done()
        a.answers.set()
        assert await slow == "a"
        await asyncio.wait_for(draining, 10)

    async def test_changes_under_load_fail_no_request(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        a, b = upstreams
        await router.publish(route(target("main", 100, a)))
        stop = asyncio.Event()
        served = 0

        async def load() -> None:
            nonlocal served
            while not stop.is_set():
                await who(router, http)
                served += 1

        clients = [asyncio.create_task(load()) for _ in range(8)]
        for index in range(30):
            await router.publish(route(target("main", 60, a, workload=f"r{index}"), target("canary", 40, b)))
            await router.drain(KEY, f"r{index - 1}")
        stop.set()
        await asyncio.gather(*clients)
        assert served > 100

    async def test_routes_are_known_after_a_restart(
        self, router: Router, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        published = route(target("main", 100, upstreams[0], matches=((HeaderMatch("x-user", "me"),),)))
        await router.publish(published)
        again = await self.restarted()
        assert await again.routes() == (published,)
        assert await who(again, http, {"x-user": "me"}) == "a"

    async def test_a_rendered_route_names_the_endpoints(
        self, router: Router, upstreams: tuple[Upstream, Upstream]
    ) -> None:
        rendered = "".join(router.render(route(target("main", 100, upstreams[0]))).values())
        assert upstreams[0].address.rpartition(":")[2] in rendered
        assert await router.routes() == ()


async def who(
    router: Router,
    http: aiohttp.ClientSession,
    headers: dict[str, str] | None = None,
    *,
    key: RouteKey = KEY,
    path: str = INFER,
) -> str:
    """Send an inference; returns the name of the upstream that answered, which must have seen the runtime's path."""
    async with http.post(router.url(key) + path, headers=headers) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, str] = await response.json()
        assert answer["path"] == path
        return answer["who"]


async def status(router: Router, http: aiohttp.ClientSession, path: str) -> int:
    """Ask for a path below the Serving's URL, exactly as it is written."""
    async with http.get(URL(router.url(KEY) + path, encoded=True)) as response:
        return response.status
