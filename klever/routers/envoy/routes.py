"""Envoy's routes: an allow-list from top to bottom. Everything else is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from klever.routers import Route, RouteKey, Target
from klever.routers.envoy.authorization import EXEMPT
from klever.routers.envoy.clusters import API, REGISTRY, grpc_cluster, http_cluster
from klever.routers.envoy.gateway import Gateway
from klever.routers.envoy.guard import REQUEST_GUARD, STREAM_GUARD
from klever.runtimes import Guard
from klever.runtimes.protocols import ANY, WireProtocol
from klever.traffic.matches import HeaderMatch, Match, MatchType

__all__ = ["ROUTES", "route_configuration", "serving_routes"]

ROUTES = "klever"
_TIMEOUT = "300s"

_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
_REGISTRY_PATHS = rf"/v2/(_catalog|{_NAME}/(blobs|manifests|tags|referrers)/.+)?"

_FOREIGN_NAME = "unknown host name: start the platform with --name, or use a name that `klever up` printed"

_UNTRANSCODED: dict[str, Any] = {
    "typed_per_filter_config": {
        "envoy.filters.http.grpc_json_transcoder": {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
            "disabled": True,
        }
    }
}
"""Part of every route but those of the API, whose transcoder answers 404 to everything but methods."""


def route_configuration(gateway: Gateway, routes: Iterable[Route]) -> dict[str, Any]:
    """Return the whole RouteConfiguration."""
    servings = (entry for route in routes for entry in serving_routes(route))
    entries = [_foreign_origin(gateway), _registry(), *_api(), *servings, *_rest()]
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [
            {"name": ROUTES, "domains": list(gateway.authorities), "routes": entries},
            {"name": "others", "domains": ["*"], "routes": [_refuse({"prefix": "/"}, 404, _FOREIGN_NAME)]},
        ],
    }


def _refuse(match: dict[str, Any], status: int, message: str) -> dict[str, Any]:
    return {
        **_UNTRANSCODED,
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps({"error": message}) + "\n"}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _regex(pattern: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": pattern}}


def _unless(header: str, matches: dict[str, Any]) -> dict[str, Any]:
    """Match requests without this header and value. A missing header would match nothing, inverted or not."""
    return {"name": header, "string_match": matches, "invert_match": True, "treat_missing_header_as_empty": True}


def _foreign_origin(gateway: Gateway) -> dict[str, Any]:
    own = "|".join(re.escape(authority) for authority in gateway.authorities)
    headers = [
        {"name": "origin", "present_match": True},
        {"name": "origin", "string_match": _regex(f"https?://({own})"), "invert_match": True},
    ]
    return _refuse({"prefix": "/", "headers": headers}, 403, "requests from pages of another origin are not allowed")


_PEER: dict[str, Any] = {
    "request_headers_to_add": [
        {
            "header": {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    ]
}
"""Part of routes to the platform itself: who connected. Envoy would append its own address for loopback clients."""


def _registry() -> dict[str, Any]:
    return {
        **_PEER,
        "typed_per_filter_config": {**_UNTRANSCODED["typed_per_filter_config"], **EXEMPT},
        "match": _regex(_REGISTRY_PATHS),
        "route": {"cluster": REGISTRY, "timeout": "0s", "idle_timeout": "300s"},
    }


def _api() -> list[dict[str, Any]]:
    writes = [
        {"name": ":method", "string_match": _regex("POST|PUT|PATCH")},
        _unless("content-type", _regex(r"application/json(\s*;.*)?")),
    ]
    route = {"cluster": API, "timeout": "0s", "idle_timeout": "0s"}
    return [
        _refuse({"prefix": "/api/", "headers": writes}, 415, "the body must be application/json"),
        {**_PEER, "match": {"prefix": "/api/v1alpha1/"}, "route": route},
        *(
            {**_PEER, "match": {"prefix": prefix, "grpc": {}}, "route": route}
            for prefix in ("/klever.v1alpha1.", "/grpc.reflection.", "/grpc.health.v1.")
        ),
        {**_PEER, "match": {"prefix": "/klever.v1alpha1."}, "route": route},
    ]


def serving_routes(route: Route) -> list[dict[str, Any]]:
    """Return the entries of one Serving, those of header matches first."""
    shared = tuple(t for t in route.targets if not t.matches)
    groups = [(match, (t,)) for t in route.targets for match in t.matches] + ([((), shared)] if shared else [])
    return [entry for match, targets in groups for entry in _entries(route.key, match, targets)]


def _entries(key: RouteKey, match: Match, targets: tuple[Target, ...]) -> Iterator[dict[str, Any]]:
    """Yield the entries of targets that share the requests of a match.

    A path goes to the targets that publish it. One that publishes every path does not widen another's allow-list.
    """
    protocols = sorted({t.protocol for t in targets}, key=lambda protocol: (protocol == ANY, protocol.name))
    for protocol in protocols:
        yield _http(key, protocol, match, [t for t in targets if t.protocol in (protocol, ANY)])
    for protocol in protocols:
        if protocol.methods:
            yield from _grpc(key, protocol, match, targets)
            return


def _http(key: RouteKey, protocol: WireProtocol, match: Match, targets: Sequence[Target]) -> dict[str, Any]:
    base = re.escape(f"/seldon/{key.namespace}/{key.serving}")
    paths = base + protocol.paths.replace("{name}", re.escape(key.serving))
    shares = {http_cluster(key, t): _weight(t) for t in targets if t.http and _weight(t)}
    rewrite = {"regex_rewrite": {"pattern": {"regex": f"^{base}"}, "substitution": ""}}
    requests = {**_regex(paths), "headers": [_header(condition) for condition in match]}
    return _shared(key, requests, shares, REQUEST_GUARD if _guarded(targets) else {}, rewrite)


def _grpc(key: RouteKey, protocol: WireProtocol, match: Match, targets: Sequence[Target]) -> Iterator[dict[str, Any]]:
    addressed = (HeaderMatch("seldon", key.serving), HeaderMatch("namespace", key.namespace))
    headers = [_header(condition) for condition in (*addressed, *match)]
    shares = {grpc_cluster(key, t): _weight(t) for t in targets if t.grpc and _weight(t)}
    requests, streams = (REQUEST_GUARD, STREAM_GUARD) if _guarded(targets) else ({}, {})
    yield _shared(key, {**_regex(protocol.methods), "headers": headers}, shares, requests, {})
    yield _shared(key, {"path": protocol.stream, "headers": headers}, shares, streams, {})


def _weight(target: Target) -> int:
    return 100 if target.matches else target.weight


def _guarded(targets: Sequence[Target]) -> bool:
    return any(target.guard is Guard.TRITON for target in targets)


def _shared(
    key: RouteKey, match: dict[str, Any], shares: dict[str, int], guard: dict[str, Any], rewrite: dict[str, Any]
) -> dict[str, Any]:
    if not shares:
        message = f"serving {key.serving} in {key.namespace} is not ready: no predictor takes requests now"
        return _refuse(match, 503, message)
    return _weighted(match, shares, guard, rewrite)


def _weighted(
    match: dict[str, Any], shares: dict[str, int], guard: dict[str, Any], rewrite: dict[str, Any]
) -> dict[str, Any]:
    clusters = [{"name": name, "weight": weight} for name, weight in shares.items()]
    route = {"weighted_clusters": {"clusters": clusters}, "timeout": _TIMEOUT, **rewrite}
    filters = {**_UNTRANSCODED["typed_per_filter_config"], **guard}
    return {
        "match": match,
        "route": route,
        "typed_per_filter_config": filters,
        "request_headers_to_remove": ["authorization"],  # the token of the platform is not the model's to know
    }


def _header(header: HeaderMatch) -> dict[str, Any]:
    if header.type is MatchType.PRESENT:
        return {"name": header.name, "present_match": True} | ({"invert_match": True} if header.negate else {})
    value = _regex(header.value) if header.type is MatchType.REGEX else {header.type.value: header.value}
    return _unless(header.name, value) if header.negate else {"name": header.name, "string_match": value}


def _rest() -> list[dict[str, Any]]:
    return [
        {
            **_UNTRANSCODED,
            "match": {"path": "/"},
            "direct_response": {
                "status": 200,
                "body": {"inline_string": '{"service": "klever", "api": "/api/v1alpha1", "registry": "/v2/"}\n'},
            },
        },
        _refuse({"prefix": "/seldon/"}, 404, "no Serving has this path"),
        _refuse({"prefix": "/"}, 404, "not found"),
    ]
