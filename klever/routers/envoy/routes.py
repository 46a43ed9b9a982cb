"""Envoy's routes: an allow-list, top to bottom, everything else is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from klever.routers import HeaderMatch, MatchType, Route, Target
from klever.routers.envoy.clusters import API, REGISTRY, grpc_cluster, http_cluster
from klever.routers.envoy.gateway import Gateway
from klever.routers.envoy.guard import REQUEST_GUARD, STREAM_GUARD
from klever.runtimes import Guard, WireProtocol

__all__ = ["ROUTES", "route_configuration", "serving_routes"]

ROUTES = "klever"
_TIMEOUT = "300s"

_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
_REGISTRY_PATHS = rf"/v2/(_catalog|{_NAME}/(blobs|manifests|tags|referrers)/.+)?"
_GRPC_PATHS = (
    r"/inference\.GRPCInferenceService/(ServerLive|ServerReady|ModelReady|ServerMetadata|ModelMetadata|ModelInfer)"
)
_GRPC_STREAM_PATH = "/inference.GRPCInferenceService/ModelStreamInfer"
_PATHS = {
    WireProtocol.OPEN_INFERENCE: (
        r"/v2(/|/health/(live|ready)|/models/{name}(/versions/[0-9]+)?(/(ready|infer|generate|generate_stream))?)?"
    ),
    WireProtocol.OPENSCORING: r"/openscoring/model/{name}(/(batch|csv))?",
    WireProtocol.ANY: r"(/.*)?",
}
"""Paths below `/seldon/NAMESPACE/SERVING` that are published: never a runtime's control interfaces."""

_FOREIGN_NAME = "this is not a name of the platform: start it with --name, or use one that `klever up` printed"

_UNTRANSCODED: dict[str, Any] = {
    "typed_per_filter_config": {
        "envoy.filters.http.grpc_json_transcoder": {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
            "disabled": True,
        }
    }
}
"""Of every route but those of the API, whose transcoder answers 404 to what is no method."""


def route_configuration(gateway: Gateway, routes: Iterable[Route]) -> dict[str, Any]:
    """Return the whole RouteConfiguration."""
    entries = [_foreign_origin(gateway), _registry()]
    if gateway.beyond_loopback:
        entries.append(_unauthenticated(gateway))
    entries += [*_api(), *(entry for route in routes for entry in serving_routes(route)), *_rest()]
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
    """Match what has not this header with this value; a header that is missing would match nothing, inverted or not."""
    return {"name": header, "string_match": matches, "invert_match": True, "treat_missing_header_as_empty": True}


def _foreign_origin(gateway: Gateway) -> dict[str, Any]:
    own = "|".join(re.escape(authority) for authority in gateway.authorities)
    headers = [
        {"name": "origin", "present_match": True},
        {"name": "origin", "string_match": _regex(f"https?://({own})"), "invert_match": True},
    ]
    return _refuse({"prefix": "/", "headers": headers}, 403, "requests from pages of another origin are refused")


def _unauthenticated(gateway: Gateway) -> dict[str, Any]:
    token = _unless("authorization", _regex(f"[Bb][Ee][Aa][Rr][Ee][Rr] +{re.escape(gateway.token)}"))
    return _refuse({"prefix": "/", "headers": [token]}, 401, "a token is needed: send `authorization: Bearer TOKEN`")


_PEER: dict[str, Any] = {
    "request_headers_to_add": [
        {
            "header": {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    ]
}
"""Of routes to the platform itself: who connected. Envoy alone appends this machine's address for loopback clients."""


def _registry() -> dict[str, Any]:
    return {
        **_UNTRANSCODED,
        **_PEER,
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
    """Return one Serving's entries: those of header matches first."""
    matching = [t for t in route.targets if t.headers]
    shared = [t for t in route.targets if not t.headers]
    entries = [entry for t in matching for entry in _entries(route, [t], t.headers, t.protocol)]
    protocol = shared[0].protocol if shared else WireProtocol.OPEN_INFERENCE
    return entries + (_entries(route, shared, (), protocol) if shared else [])


def _entries(
    route: Route, targets: list[Target], headers: tuple[HeaderMatch, ...], protocol: WireProtocol
) -> list[dict[str, Any]]:
    key = route.key
    base = f"/seldon/{key.namespace}/{key.serving}"
    match = [_header(h) for h in headers]
    http: dict[str, Any] = {
        **_regex(re.escape(base) + _PATHS[protocol].replace("{name}", re.escape(key.serving))),
        "headers": match,
    }
    metadata = [_exact("seldon", key.serving), _exact("namespace", key.namespace), *match]
    grpc: dict[str, Any] = {**_regex(_GRPC_PATHS), "headers": metadata}
    stream: dict[str, Any] = {"path": _GRPC_STREAM_PATH, "headers": metadata}
    rewrite = {"regex_rewrite": {"pattern": {"regex": "^" + re.escape(base)}, "substitution": ""}}
    shares = {t.predictor: 100 if headers else t.weight for t in targets}
    http_shares = {http_cluster(key, t): shares[t.predictor] for t in targets if t.http and shares[t.predictor]}
    grpc_shares = {grpc_cluster(key, t): shares[t.predictor] for t in targets if t.grpc and shares[t.predictor]}
    message = f"serving {key.serving} in {key.namespace} is not ready: no predictor takes requests now"
    guarded = any(t.guard is Guard.TRITON for t in targets)
    requests, streams = (REQUEST_GUARD, STREAM_GUARD) if guarded else ({}, {})
    return [
        _weighted(http, http_shares, requests, rewrite) if http_shares else _refuse(http, 503, message),
        _weighted(grpc, grpc_shares, requests, {}) if grpc_shares else _refuse(grpc, 503, message),
        _weighted(stream, grpc_shares, streams, {}) if grpc_shares else _refuse(stream, 503, message),
    ]


def _weighted(
    match: dict[str, Any], shares: dict[str, int], guard: dict[str, Any], rewrite: dict[str, Any]
) -> dict[str, Any]:
    clusters = [{"name": name, "weight": weight} for name, weight in shares.items()]
    route = {"weighted_clusters": {"clusters": clusters}, "timeout": _TIMEOUT, **rewrite}
    filters = {**_UNTRANSCODED["typed_per_filter_config"], **guard}
    return {"match": match, "route": route, "typed_per_filter_config": filters}


def _header(header: HeaderMatch) -> dict[str, Any]:
    if header.type is MatchType.EXACT:
        return _exact(header.name, header.value)
    if header.type is MatchType.PREFIX:
        return {"name": header.name, "string_match": {"prefix": header.value}}
    return {"name": header.name, "string_match": _regex(header.value)}


def _exact(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "string_match": {"exact": value}}


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
        _refuse({"prefix": "/seldon/"}, 404, "no Serving publishes this path"),
        _refuse({"prefix": "/"}, 404, "nothing is here"),
    ]
