"""The objects that Istio gets, word for word; renew with --renew-golden and review."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from klever.errors import InvalidError
from klever.routers import Route, RouteKey, Target
from klever.routers.istio.destinations import build_destinations
from klever.routers.istio.guard import guard_spec
from klever.routers.istio.matches import check_expressible, check_expressions
from klever.routers.istio.settings import IstioSettings
from klever.routers.istio.virtual_service import Plan, plan_route
from klever.runtimes import Guard
from klever.runtimes.protocols import ANY, OPEN_INFERENCE
from klever.traffic.matches import HeaderMatch, Match, MatchType
from tests.errors import because

Golden = Callable[[str, str], None]
KEY = RouteKey("team", "digits")
SETTINGS = IstioSettings("http://models.example")
NAMES = {"10.0.0.1": "digits-r-main.team.svc.cluster.local", "10.0.0.2": "digits-r-new.team.svc.cluster.local"}


def target(predictor: str, weight: int, *matches: Match, address: str = "10.0.0.1", grpc: bool = True) -> Target:
    return Target(
        predictor,
        f"r-{predictor}",
        OPEN_INFERENCE if grpc else ANY,
        weight,
        (f"{address}:8000",),
        (f"{address}:8001",) if grpc else (),
        matches,
        Guard.TRITON if grpc else Guard.NONE,
    )


def plan(*targets: Target, retries: int = 0) -> Plan:
    return plan_route(Route(KEY, targets, retries), SETTINGS, "istio-system/klever", lambda ip: NAMES.get(ip, ""))


ANY_OF: tuple[Match, ...] = (
    (HeaderMatch("x-a", "1"), HeaderMatch("x-b", "p", MatchType.PREFIX, negate=True)),
    (HeaderMatch("x-c", type=MatchType.PRESENT), HeaderMatch("x-c", ".*bot.*", MatchType.REGEX, negate=True)),
)
ROUTES = {
    "canary": (target("main", 80), target("canary", 20, address="10.0.0.2")),
    "matches": (target("main", 100, grpc=False), target("beta", 0, *ANY_OF, address="10.0.0.2", grpc=False)),
    "addresses": (target("main", 100, address="192.0.2.7", grpc=False),),
    "unavailable": (replace(target("main", 100), http=(), grpc=()),),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_serving(golden: Golden, name: str) -> None:
    planned = plan(*ROUTES[name])
    parts = [{"kind": kind.kind, "name": name, "spec": spec} for (kind, name), spec in planned.parts.items()]
    golden(f"istio/{name}.yaml", yaml.safe_dump_all([planned.spec, *parts], sort_keys=False, width=120))


def test_the_guard(golden: Golden) -> None:
    spec = guard_spec(SETTINGS)
    for patch in spec["configPatches"]:
        for source in patch["patch"]["value"].get("typed_config", {}).get("source_codes", {}).values():
            source["inline_string"] = source["inline_string"].partition("\n")[0]
    golden("istio/guard.json", json.dumps(spec, indent=1) + "\n")


def test_the_services_of_a_target_share_its_weight() -> None:
    both = replace(target("main", 75), http=("10.0.0.1:8000", "10.0.0.2:8000"))
    (entry,) = [e for e in plan(both, target("canary", 25, address="192.0.2.7")).spec["http"] if "rewrite" in e]
    assert [(one["destination"]["host"].partition(".")[0], one["weight"]) for one in entry["route"]][:2] == [
        ("digits-r-main", 75),
        ("digits-r-new", 75),
    ]
    assert sum(one["weight"] for one in entry["route"]) == 200


def test_other_addresses_have_another_name() -> None:
    def host(*addresses: str) -> str:
        (found,) = build_destinations(KEY, replace(target("main", 100), http=addresses), lambda _: "", grpc=False)
        return found.host

    assert host("192.0.2.7:80") == host("192.0.2.7:80") != host("192.0.2.8:80")


def test_the_version_follows_every_object() -> None:
    versions = {
        plan(target("main", 100)).version,
        plan(target("main", 100), retries=3).version,
        plan(target("main", 100, address="192.0.2.7")).version,
        plan(target("main", 100, address="192.0.2.8")).version,
    }
    assert len(versions) == 4


@pytest.mark.parametrize(
    ("match", "fields"),
    [
        ((HeaderMatch("x-a", "1"), HeaderMatch("x-a", "1", negate=True)), []),
        ((HeaderMatch("x-a", "1"), HeaderMatch("x-a", "2", MatchType.PREFIX)), ["matches[0].headers[1].name"]),
        ((HeaderMatch("seldon", "x"),), ["matches[0].headers[0].name"]),
    ],
)
def test_a_match_that_istio_cannot_express(match: Match, fields: list[str]) -> None:
    assert [violation.field for violation in check_expressible((match,))] == fields


@pytest.mark.parametrize("expression", ["(", "(?=x)", "*", r"\1"])
def test_an_expression_that_the_gateway_would_reject(expression: str) -> None:
    match: Any = (HeaderMatch("x-a", expression, MatchType.REGEX),)
    with pytest.raises(InvalidError, check=because("ROUTE_REFUSED")):
        check_expressions(Route(KEY, (target("beta", 0, match),)))
