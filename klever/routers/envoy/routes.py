"""Envoy's routes: an allow-list from top to bottom. All other requests are rejected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from klever.routers import Route, RouteKey
from klever.routers.envoy.authorization import EXEMPT
from klever.routers.envoy.bodies import LIMITED_BODY
from klever.routers.envoy.clusters import API, REGISTRY, grpc_cluster, http_cluster
from klever.routers.envoy.gateway import Gateway
from klever.routers.envoy.replies import API_PREFIX, NO_GRPC_WEB, UNTRANSCODED, refuse, refuse_api, refuse_grpc
from klever.routers.guard import REQUEST_GUARD, STREAM_GUARD
from klever.routers.rules import BASE, Call, Rule, build_rules, retry_policy
from klever.runtimes.protocols import OPEN_INFERENCE
from klever.traffic.matches import HeaderMatch, MatchType

__all__ = ["ROUTES", "route_configuration", "serving_routes"]

ROUTES = "klever"
_INVALID_ARGUMENT, _NOT_FOUND, _UNIMPLEMENTED, _UNAVAILABLE = 3, 5, 12, 14  # google/rpc/code.proto
_IDLE_SECONDS = 300
"""The gateway ends a request on which nothing happens for so long, unless its route allows more."""
_MOST_FILE_BYTES = 2 << 20

_BACK_OFF = {"base_interval": "0.01s", "max_interval": "0.1s"}
_HOST_ATTEMPTS = 100
"""How often a retry chooses again if it gets a replica that it has tried.

The load balancer prefers a replica that has ended to others, because it has the fewest requests.
"""
_PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}

_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
_REGISTRY_PATHS = rf"/v2/(_catalog|{_NAME}/(blobs|manifests|tags|referrers)/.+)?"

_FOREIGN_NAME = "unknown host name: start the platform with --name, or use a name that `klever up` printed"


def route_configuration(gateway: Gateway, routes: Iterable[Route]) -> dict[str, Any]:
    """Return the whole RouteConfiguration."""
    servings = [entry for route in routes for entry in serving_routes(route)]
    # Envoy tries the entries one after another: those of inferences come first.
    entries = [*_foreign_origin(gateway), *servings, _registry(), *_api(), *_files(gateway), *_rest()]
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "max_direct_response_body_size_bytes": _MOST_FILE_BYTES,
        "virtual_hosts": [
            {"name": ROUTES, "domains": list(gateway.authorities), "routes": entries},
            {
                "name": "others",
                "domains": ["*"],
                "routes": [
                    refuse_api({"prefix": API_PREFIX}, 404, _FOREIGN_NAME),
                    refuse({"prefix": "/"}, 404, _FOREIGN_NAME),
                ],
            },
        ],
    }


def _regex(pattern: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": pattern}}


def _path(pattern: str) -> dict[str, Any]:
    """Match a path. RE2 rejects most paths by the pattern's literal beginning, if the pattern is anchored."""
    return _regex(f"^{pattern}")


def _unless(header: str, matches: dict[str, Any]) -> dict[str, Any]:
    """Match requests without this header value. By default, a missing header would never match."""
    return {"name": header, "string_match": matches, "invert_match": True, "treat_missing_header_as_empty": True}


def _foreign_origin(gateway: Gateway) -> Iterator[dict[str, Any]]:
    own = "|".join(re.escape(authority) for authority in gateway.authorities)
    headers = [
        {"name": "origin", "present_match": True},
        {"name": "origin", "string_match": _regex(f"https?://({own})"), "invert_match": True},
    ]
    message = "requests from pages of another origin are not allowed"
    yield refuse_api({"prefix": API_PREFIX, "headers": headers}, 403, message)
    yield refuse({"prefix": "/", "headers": headers}, 403, message)


_PEER: dict[str, Any] = {
    "request_headers_to_add": [
        {
            "header": {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    ]
}
"""Part of routes to the platform itself: the client's address. Envoy would append its own for loopback clients."""


def _registry() -> dict[str, Any]:
    return {
        **_PEER,
        "typed_per_filter_config": {**UNTRANSCODED["typed_per_filter_config"], **EXEMPT},
        "match": _path(_REGISTRY_PATHS),
        "route": {"cluster": REGISTRY, "timeout": "0s", "idle_timeout": "300s"},
    }


def _api() -> list[dict[str, Any]]:
    writes = [
        {"name": ":method", "string_match": _regex("POST|PUT|PATCH")},
        _unless("content-type", _regex(r"application/json(\s*;.*)?")),
    ]
    attempts, failures = retry_policy(0)
    retries = {"retry_on": ",".join(failures), "num_retries": attempts, "retry_back_off": _BACK_OFF}
    route = {"cluster": API, "timeout": "0s", "idle_timeout": "0s", "retry_policy": retries}
    return [
        refuse_api({"prefix": API_PREFIX, "headers": writes}, 415, "the body must be application/json"),
        {**_PEER, **LIMITED_BODY, "match": {"prefix": f"{API_PREFIX}v1alpha1/"}, "route": route},
        refuse_api({"prefix": API_PREFIX}, 404, f"not found: the API is at {API_PREFIX}v1alpha1/"),
        *(
            {**_PEER, "match": {"prefix": prefix, "grpc": {}}, "route": route}
            for prefix in ("/klever.v1alpha1.", "/grpc.reflection.", "/grpc.health.v1.")
        ),
        {**_PEER, "match": {"prefix": "/klever.v1alpha1."}, "route": route},
    ]


def _files(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """Serve the description of the API: its descriptor set, and its REST paths as OpenAPI."""
    for path, file, media_type in (
        ("/descriptor.binpb", gateway.descriptors, "application/x-protobuf"),
        ("/openapi.json", gateway.descriptors.with_name("openapi.json"), "application/json"),
    ):
        yield {
            **UNTRANSCODED,
            "match": {"path": path},
            "direct_response": {"status": 200, "body": {"filename": str(file)}},
            "response_headers_to_add": [
                {
                    "header": {"key": "content-type", "value": media_type},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
        }


def serving_routes(route: Route) -> list[dict[str, Any]]:
    """Return the entries of one Serving, header matches first."""
    entries = [_retried(_entry(route.key, rule), route.retries) for rule in build_rules(route)]
    return [_timed(entry, route.timeout_seconds) for entry in entries]


def _timed(entry: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Return an entry whose requests end after so many seconds."""
    if "route" not in entry:
        return entry
    idle = {"idle_timeout": f"{seconds}s"} if seconds > _IDLE_SECONDS else {}
    return {**entry, "route": {**entry["route"], "timeout": f"{seconds}s", **idle}}


def _retried(entry: dict[str, Any], retries: int) -> dict[str, Any]:
    """Return an entry with its retry policy. A body of more than 1 MiB, a connection's buffer, is not sent again."""
    if "route" not in entry:
        return entry
    attempts, failures = retry_policy(retries)
    policy = {
        "retry_on": ",".join(failures),
        "num_retries": attempts,
        "retry_host_predicate": [_PREVIOUS_HOSTS],
        "host_selection_retry_max_attempts": _HOST_ATTEMPTS,
        "retry_back_off": _BACK_OFF,
    }
    return {**entry, "route": {**entry["route"], "retry_policy": policy}}


def _entry(key: RouteKey, rule: Rule) -> dict[str, Any]:
    cluster = http_cluster if rule.call is Call.HTTP else grpc_cluster
    path = {"path": rule.path} if rule.call is Call.STREAM else _path(rule.path)
    match = {**path, "headers": [_header(condition) for condition in rule.headers]}
    if not rule.targets:
        return _unavailable(key, match, rule.call)
    clusters = [{"name": cluster(key, target), "weight": weight} for target, weight in rule.targets]
    base = re.escape(f"{BASE}/{key.namespace}/{key.serving}")
    rewrite = {"regex_rewrite": {"pattern": {"regex": f"^{base}"}, "substitution": ""}}
    return {
        "match": match,
        "route": {
            "weighted_clusters": {"clusters": clusters},
            **(rewrite if rule.call is Call.HTTP else {}),
        },
        "typed_per_filter_config": {**UNTRANSCODED["typed_per_filter_config"], **_filters(rule)},
        "request_headers_to_remove": ["authorization"],  # the model must not see the token of the platform
    }


def _unavailable(key: RouteKey, match: dict[str, Any], call: Call) -> dict[str, Any]:
    message = f"serving {key.serving} in {key.namespace} has no predictor that is ready"
    return refuse(match, 503, message) if call is Call.HTTP else refuse_grpc(match, 503, _UNAVAILABLE, message)


def _filters(rule: Rule) -> dict[str, Any]:
    guard = STREAM_GUARD if rule.call is Call.STREAM else REQUEST_GUARD
    return {**(NO_GRPC_WEB if rule.call is Call.HTTP else {}), **(guard if rule.guarded else {})}


def _header(header: HeaderMatch) -> dict[str, Any]:
    if header.type is MatchType.PRESENT:
        return {"name": header.name, "present_match": True} | ({"invert_match": True} if header.negate else {})
    value = _regex(header.value) if header.type is MatchType.REGEX else {header.type.value: header.value}
    return _unless(header.name, value) if header.negate else {"name": header.name, "string_match": value}


def _rest() -> list[dict[str, Any]]:
    return [
        {
            **UNTRANSCODED,
            "match": {"path": "/"},
            "direct_response": {
                "status": 200,
                "body": {"inline_string": '{"service": "klever", "api": "/api/v1alpha1", "registry": "/v2/"}\n'},
            },
        },
        *_unaddressed(),
        refuse({"prefix": "/seldon/"}, 404, "no Serving has this path"),
        refuse_grpc({"prefix": "/", "grpc": {}}, 404, _UNIMPLEMENTED, "unknown method"),
        refuse({"prefix": "/"}, 404, "not found"),
    ]


def _unaddressed() -> Iterator[dict[str, Any]]:
    """Refuse gRPC inference that no route of a Serving took: its metadata is missing, or names no Serving."""
    calls = {**_regex(f"{OPEN_INFERENCE.methods}|{re.escape(OPEN_INFERENCE.stream)}"), "grpc": {}}
    for name in ("seldon", "namespace"):
        missing = [{"name": name, "present_match": True, "invert_match": True}]
        message = f"the metadata {name} is missing: send seldon: SERVING and namespace: NAMESPACE"
        yield refuse_grpc({**calls, "headers": missing}, 400, _INVALID_ARGUMENT, message)
    message = "no Serving has this method for the metadata seldon and namespace"
    yield refuse_grpc(calls, 404, _NOT_FOUND, message)
