"""What Envoy is told, word for word; renew with --renew-golden and review."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from klever.routers import Route, RouteKey, Target
from klever.routers.envoy.bootstrap import bootstrap
from klever.routers.envoy.clusters import fixed_clusters, target_clusters
from klever.routers.envoy.gateway import Gateway, Tls
from klever.routers.envoy.routes import route_configuration
from klever.routers.envoy.tls import certificate_secret, tls_listener
from klever.runtimes import Guard
from klever.runtimes.protocols import ANY, OPEN_INFERENCE
from klever.traffic.matches import HeaderMatch, Match, MatchType

Golden = Callable[[str, str], None]
KEY = RouteKey("team", "digits")
RUN = Path("/run/klever")


def gateway(host: str) -> Gateway:
    return Gateway(
        host, 8080, RUN / "api", RUN / "registry", RUN / "admin", RUN / "access", RUN / "descriptors", ("m.example",)
    )


def target(predictor: str, weight: int, *matches: Match, grpc: bool = True, guard: Guard = Guard.NONE) -> Target:
    protocol = OPEN_INFERENCE if grpc else ANY
    rpc = ("127.0.0.1:9001",) if grpc else ()
    return Target(predictor, f"r-{predictor}", protocol, weight, ("127.0.0.1:9000",), rpc, matches, guard)


USER = HeaderMatch("x-user", "beta-.*", MatchType.REGEX)
ANY_OF: tuple[Match, ...] = (
    (HeaderMatch("x-a", "1"), HeaderMatch("x-b", "p", MatchType.PREFIX, negate=True)),
    (HeaderMatch("x-c", type=MatchType.PRESENT), HeaderMatch("x-d", type=MatchType.PRESENT, negate=True)),
)
ROUTES = {
    "one": (target("main", 100),),
    "canary": (target("main", 80), target("canary", 20)),
    "headers": (target("main", 100), target("beta", 0, (USER,))),
    "matches": (target("main", 100), target("beta", 0, *ANY_OF)),
    "custom": (target("main", 100, grpc=False),),
    "guarded": (target("main", 80, guard=Guard.TRITON), target("canary", 20, grpc=False)),
    "service": (replace(target("main", 100), http=("10.0.0.7:8000",), grpc=("10.0.0.7:8001",)),),
    "none": (),
}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_listener(golden: Golden, host: str) -> None:
    golden(f"envoy/bootstrap-{host}.json", _text(_without_script(bootstrap(gateway(host), RUN))))
    golden(f"envoy/routes-{host}.json", _text(route_configuration(gateway(host), [])))


def test_the_listener_with_tls(golden: Golden) -> None:
    listener = tls_listener([{"name": "filters"}], {"path_config_source": {"path": "/run/klever/certificate.json"}})
    golden("envoy/listener-tls.json", _text(listener))
    golden("envoy/certificate.json", _text(certificate_secret(Tls(RUN / "tls/cert.pem", RUN / "tls/key.pem"))))


def test_loopback_is_bound_for_the_platforms_own_clients() -> None:
    assert gateway("192.0.2.1").addresses == ("192.0.2.1", "127.0.0.1")
    assert gateway("::").addresses == ("::", "127.0.0.1")
    for host in ("127.0.0.1", "::1", "0.0.0.0"):
        assert gateway(host).addresses == (host,)
    assert [gateway(host).local_url for host in ("192.0.2.1", "0.0.0.0", "::", "::1")] == [
        *["http://127.0.0.1:8080"] * 3,
        "http://[::1]:8080",
    ]


def test_users_are_told_a_url_that_works() -> None:
    tls = Tls(RUN / "cert.pem", RUN / "key.pem")
    assert gateway("192.0.2.1").url == "http://192.0.2.1:8080"
    assert replace(gateway("192.0.2.1"), tls=tls).url == "https://192.0.2.1:8080"
    assert replace(gateway("0.0.0.0"), tls=tls).url == "http://127.0.0.1:8080"


def test_a_default_port_is_not_in_the_host_header() -> None:
    assert "m.example" not in gateway("127.0.0.1").authorities
    assert {"m.example:443", "m.example"} <= set(replace(gateway("127.0.0.1"), port=443).authorities)


@pytest.mark.parametrize("name", ROUTES)
def test_a_serving(golden: Golden, name: str) -> None:
    route = Route(KEY, ROUTES[name])
    of_nobody = route_configuration(gateway("127.0.0.1"), [])["virtual_hosts"][0]["routes"]
    routes = route_configuration(gateway("127.0.0.1"), [route])["virtual_hosts"][0]["routes"]
    golden(f"envoy/serving-{name}.json", _text([entry for entry in routes if entry not in of_nobody]))
    golden(f"envoy/clusters-{name}.json", _text([c for t in route.targets for c in target_clusters(KEY, t)]))


def test_the_platforms_own_clusters(golden: Golden) -> None:
    golden("envoy/clusters.json", _text(fixed_clusters(gateway("127.0.0.1"))))


def _without_script(config: dict[str, Any]) -> dict[str, Any]:
    """Leave of guard.lua only the line in front of it."""
    listener = config["static_resources"]["listeners"][0]
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    source = next(f for f in filters if f["name"].endswith(".lua"))["typed_config"]["default_source_code"]
    source["inline_string"] = source["inline_string"].partition("\n")[0]
    return config


def _text(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
