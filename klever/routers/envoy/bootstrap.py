"""Envoy's bootstrap: one listener, and the paths of the watched files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from klever.api.kinds import KINDS
from klever.routers.envoy.authorization import access_filters, access_replies
from klever.routers.envoy.bodies import body_filter, body_reply
from klever.routers.envoy.firsttoken import first_token_histogram
from klever.routers.envoy.gateway import Gateway
from klever.routers.envoy.overload import overload_manager
from klever.routers.envoy.replies import api_replies
from klever.routers.envoy.routes import ROUTES
from klever.routers.envoy.servingreplies import serving_replies
from klever.routers.envoy.tls import CERTIFICATE_FILE, tls_listener
from klever.routers.guard import guard_filters, guard_replies

__all__ = ["CLUSTERS_FILE", "ROUTES_FILE", "bootstrap"]

CLUSTERS_FILE = "clusters.json"
ROUTES_FILE = "routes.json"

_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
_RUNTIME = {
    # Larger than the program of any valid header match, because serving.proto bounds its repetitions.
    "re2.max_program_size.error_level": 1 << 18,
    # A stream that is opened and reset in the same packets does not reach a server behind the gateway.
    "http.max_requests_per_io_cycle": 1,
    # After so many streams, a connection is closed whose streams are mostly reset within a second.
    "overload.premature_reset_total_stream_count": 200,
}
_MODELS = "klever.v1alpha1.ModelService"
_HEADERS_KB = 8
"""The largest size of all headers of a request, so that each is below the 8,190 bytes that aiohttp accepts."""
_JSON_RATIO = 8
"""A JSON response has at most 6 times the bytes of its message (for control characters), and its field names."""
_MOST_BYTES = (1 << 32) - 1
_SERVER = "klever.v1alpha1.ServerService"
_SERVICES = (_MODELS, _SERVER, *dict.fromkeys(kind.service.full_name for kind in KINDS if kind.service))
"""The services that are also served as JSON."""


def bootstrap(gateway: Gateway, directory: Path) -> dict[str, Any]:
    """Return the start configuration of Envoy. It contains no token."""
    return {
        "node": {"id": "klever", "cluster": "klever"},
        "admin": {"address": {"pipe": {"path": str(gateway.admin), "mode": 0o600}}},
        "dynamic_resources": {"cds_config": _watched(directory, CLUSTERS_FILE)},
        "static_resources": {"listeners": [_listener(gateway, directory)]},
        "overload_manager": overload_manager(gateway.limits),
        "layered_runtime": {"layers": [{"name": "klever", "static_layer": _RUNTIME}]},
    }


def _watched(directory: Path, name: str) -> dict[str, Any]:
    source = {"path": str(directory / name), "watched_directory": {"path": str(directory)}}
    return {"resource_api_version": "V3", "path_config_source": source}


def _listener(gateway: Gateway, directory: Path) -> dict[str, Any]:
    first, *further = (_socket_address(gateway, host) for host in gateway.addresses)
    manager = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": _connection_manager(gateway, directory),
    }
    plain = {"filter_chains": [{"filters": [manager]}]}
    return {
        "name": "gateway",
        **first,
        "additional_addresses": further,
        "enable_reuse_port": False,  # a port in use must be an error
        "per_connection_buffer_limit_bytes": 1 << 20,
        **(tls_listener([manager], _watched(directory, CERTIFICATE_FILE)) if gateway.tls else plain),
    }


def _socket_address(gateway: Gateway, host: str) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": host, "port_value": gateway.port}}}


def _connection_manager(gateway: Gateway, directory: Path) -> dict[str, Any]:
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "@type": f"type.googleapis.com/{manager}",
        "stat_prefix": "gateway",
        "server_name": "klever",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "stream_idle_timeout": "300s",
        "request_headers_timeout": "10s",
        "max_request_headers_kb": _HEADERS_KB,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "http2_protocol_options": {"max_concurrent_streams": 1000},
        "local_reply_config": {"mappers": _mappers(gateway)},
        "rds": {"route_config_name": ROUTES, "config_source": _watched(directory, ROUTES_FILE)},
        "access_log": [first_token_histogram()],
        "http_filters": [
            _filter("grpc_web", "v3.GrpcWeb", {}),
            *access_filters(gateway),
            body_filter(gateway.limits),
            _filter("grpc_json_transcoder", "v3.GrpcJsonTranscoder", _transcoder(gateway)),
            *guard_filters(gateway.limits),
            _filter("router", "v3.Router", {}),
        ],
    }


def _mappers(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the mappers of the gateway's own answers. The first one that matches an answer changes it."""
    return [
        *serving_replies(),
        body_reply(gateway.limits),
        *api_replies(),
        *access_replies(gateway),
        *guard_replies(gateway.limits),
    ]


def _filter(name: str, message: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{_FILTERS}.{name}.{message}", **config}}


def _transcoder(gateway: Gateway) -> dict[str, Any]:
    return {
        "proto_descriptor": str(gateway.descriptors),
        "services": list(_SERVICES),
        "match_incoming_request_route": True,
        "request_validation_options": {"reject_unknown_method": True, "reject_unknown_query_parameters": True},
        "convert_grpc_status": True,
        "print_options": {"stream_newline_delimited": True},
        "max_response_body_size": min(gateway.limits.response_bytes * _JSON_RATIO, _MOST_BYTES),
    }
