"""Envoy's routes: an allow-list from top to bottom. All other requests are rejected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from klever.routers import Route, RouteKey, Target
from klever.routers.envoy.authorization import EXEMPT
from klever.routers.envoy.clusters import API, REGISTRY, grpc_cluster, http_cluster
from klever.routers.envoy.gateway import Gateway
from klever.routers.envoy.guard import REQUEST_GUARD, STREAM_GUARD
from klever.routers.envoy.replies import API_PREFIX, NO_GRPC_WEB, UNTRANSCODED, refuse, refuse_api, refuse_grpc
from klever.runtimes import Guard
from klever.runtimes.protocols import ANY, OPEN_INFERENCE, WireProtocol
from klever.traffic.matches import HeaderMatch, Match, MatchType

__all__ = ["ROUTES", "route_configuration", "serving_routes"]

ROUTES = "klever"
_INVALID_ARGUMENT, _NOT_FOUND, _UNIMPLEMENTED, _UNAVAILABLE = 3, 5, 12, 14  # google/rpc/code.proto
_TIMEOUTS = {"timeout": "0s", "idle_timeout": "300s"}
"""A response must begin in this time, and go on: a language model may write for longer."""
_MOST_FILE_BYTES = 2 << 20

_UNSENT = ("connect-failure", "refused-stream", "reset-before-request")
"""The failures of Envoy's retry_on in which no replica has received the request."""
_UNSENT_RETRIES = 2
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
    route = {"cluster": API, "timeout": "0s", "idle_timeout": "0s"}
    return [
        refuse_api({"prefix": API_PREFIX, "headers": writes}, 415, "the body must be application/json"),
        {**_PEER, "match": {"prefix": f"{API_PREFIX}v1alpha1/"}, "route": route},
        refuse_api({"prefix": API_PREFIX}, 404, f"not found: the API is at {API_PREFIX}v1alpha1/"),
        *(
            {**_PEER, "match": {"prefix": prefix, "grpc": {}}, "route": route}
            for prefix in ("/klever.v1alpha1.", "/grpc.reflection.", "/grpc.health.v1.")
        ),
        {**_PEER, "match": {"prefix": "/klever.v1alpha1."}, "route": route},
    ]


def _files(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """Serve what the API is made of: its descriptor set, and its REST paths as OpenAPI."""
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
    shared = tuple(t for t in route.targets if not t.matches)
    groups = [(match, (t,)) for t in route.targets for match in t.matches] + ([((), shared)] if shared else [])
    entries = [entry for match, targets in groups for entry in _entries(route.key, match, targets)]
    return [_retried(entry, route.retries) for entry in entries]


def _retried(entry: dict[str, Any], retries: int) -> dict[str, Any]:
    """Return an entry that sends a request that reached no replica to another one: a replica has just ended.

    A replica that ends while it works on a request may have acted on it. `retries` says how often such a request is
    sent again, if its body is at most 1 MiB, the buffer of a connection.
    """
    if "route" not in entry:
        return entry
    policy = {
        "retry_on": ",".join((*_UNSENT, "reset")) if retries else ",".join(_UNSENT),
        "num_retries": max(retries, _UNSENT_RETRIES),
        "retry_host_predicate": [_PREVIOUS_HOSTS],
        "host_selection_retry_max_attempts": 3,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
    }
    return {**entry, "route": {**entry["route"], "retry_policy": policy}}


def _entries(key: RouteKey, match: Match, targets: tuple[Target, ...]) -> Iterator[dict[str, Any]]:
    """Yield the entries of targets that share the requests of a match.

    A path goes to the targets that publish it. A target that publishes every path does not widen another's allow-list.
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
    requests = {**_path(paths), "headers": [_header(condition) for condition in match]}
    guard = REQUEST_GUARD if _guarded(targets) else {}
    return _shared(key, requests, shares, {**NO_GRPC_WEB, **guard}, rewrite)


def _grpc(key: RouteKey, protocol: WireProtocol, match: Match, targets: Sequence[Target]) -> Iterator[dict[str, Any]]:
    addressed = (HeaderMatch("seldon", key.serving), HeaderMatch("namespace", key.namespace))
    headers = [_header(condition) for condition in (*addressed, *match)]
    shares = {grpc_cluster(key, t): _weight(t) for t in targets if t.grpc and _weight(t)}
    requests, streams = (REQUEST_GUARD, STREAM_GUARD) if _guarded(targets) else ({}, {})
    yield _shared(key, {**_path(protocol.methods), "headers": headers}, shares, requests, {})
    yield _shared(key, {"path": protocol.stream, "headers": headers}, shares, streams, {})


def _weight(target: Target) -> int:
    return 100 if target.matches else target.weight


def _guarded(targets: Sequence[Target]) -> bool:
    return any(target.guard is Guard.TRITON for target in targets)


def _shared(
    key: RouteKey, match: dict[str, Any], shares: dict[str, int], guard: dict[str, Any], rewrite: dict[str, Any]
) -> dict[str, Any]:
    if not shares:
        message = f"serving {key.serving} in {key.namespace} has no predictor that is ready"
        is_grpc = not rewrite
        return refuse_grpc(match, 503, _UNAVAILABLE, message) if is_grpc else refuse(match, 503, message)
    return _weighted(match, shares, guard, rewrite)


def _weighted(
    match: dict[str, Any], shares: dict[str, int], guard: dict[str, Any], rewrite: dict[str, Any]
) -> dict[str, Any]:
    clusters = [{"name": name, "weight": weight} for name, weight in shares.items()]
    route = {"weighted_clusters": {"clusters": clusters}, **_TIMEOUTS, **rewrite}
    filters = {**UNTRANSCODED["typed_per_filter_config"], **guard}
    return {
        "match": match,
        "route": route,
        "typed_per_filter_config": filters,
        "request_headers_to_remove": ["authorization"],  # the model must not see the token of the platform
    }


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
