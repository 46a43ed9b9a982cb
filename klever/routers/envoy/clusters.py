"""Envoy's clusters: the API, the registry, the access server, and one per predictor's workload and protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from klever.routers import RouteKey, Target
from klever.routers.envoy.gateway import Gateway
from klever.runtimes import unix_path

__all__ = ["ACCESS", "API", "REGISTRY", "fixed_clusters", "grpc_cluster", "http_cluster", "target_clusters"]

ACCESS = "klever-access"
API = "klever-api"
REGISTRY = "klever-registry"

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_LIMITS = {"max_connections": 4096, "max_pending_requests": 8192, "max_requests": 16384, "max_retries": 1024}
_MOST_REQUESTS = (1 << 32) - 1
_SERVICE_CONNECTION = "3s"
"""The maximum age of a connection to a Service, which always reaches the same pod. A pod answers for some seconds after
its Service has dropped it (`drain_s` of the backend). By then no connection to it is left."""
_ACCESS_LIMITS = {"max_connections": 64, "max_pending_requests": 8192, "max_retries": 8192}
"""The access server answers one request at a time. If it ends, Envoy retries all of its requests."""


def http_cluster(key: RouteKey, target: Target) -> str:
    """Return the name of a target's HTTP cluster. Its parts become labels of metrics."""
    return f"{key.namespace}|{key.serving}|{target.predictor}|{target.workload}|http"


def grpc_cluster(key: RouteKey, target: Target) -> str:
    return f"{key.namespace}|{key.serving}|{target.predictor}|{target.workload}|grpc"


def fixed_clusters(gateway: Gateway) -> list[dict[str, Any]]:
    requests = min(gateway.limits.open_streams + gateway.limits.api_requests, _MOST_REQUESTS)
    return [
        _cluster(API, [_pipe(gateway.api)], http2=True, limits={**_LIMITS, "max_requests": requests}),
        _cluster(REGISTRY, [_pipe(gateway.registry)], http2=False),
        _cluster(ACCESS, [_pipe(gateway.access)], http2=False, limits=_ACCESS_LIMITS),
    ]


def target_clusters(key: RouteKey, target: Target) -> list[dict[str, Any]]:
    """Return the clusters of a target, one for each protocol with endpoints."""
    clusters = []
    limits = _LIMITS | ({"max_requests": target.max_requests} if target.max_requests else {})
    if target.http:
        addresses = list(map(_address, target.http))
        clusters.append(_cluster(http_cluster(key, target), addresses, http2=False, limits=limits))
    if target.grpc:
        addresses = list(map(_address, target.grpc))
        clusters.append(_cluster(grpc_cluster(key, target), addresses, http2=True, limits=limits))
    return clusters


def _cluster(
    name: str, addresses: list[dict[str, Any]], *, http2: bool, limits: Mapping[str, int] = _LIMITS
) -> dict[str, Any]:
    protocol: dict[str, Any] = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}}
    connections = {"idle_timeout": "30s"}
    if not all(map(_is_local, addresses)):
        connections["max_connection_duration"] = _SERVICE_CONNECTION
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": a}} for a in addresses]}],
        },
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": protocol,
                "common_http_protocol_options": connections,
            }
        },
    }


def _address(address: str) -> dict[str, Any]:
    """Return Envoy's form of `HOST:PORT` or `unix:PATH`."""
    if path := unix_path(address):
        return _pipe(Path(path))
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _is_local(address: Mapping[str, Any]) -> bool:
    """Return whether an address is of a process on this machine, and not of a Service."""
    return "pipe" in address or address["socket_address"]["address"].startswith("127.")


def _pipe(path: Path) -> dict[str, Any]:
    return {"pipe": {"path": str(path)}}
