"""Envoy's configuration for authorization: beyond loopback it asks the access server about each request.

The access server is `klever.auth.ext_authz`. Requests to the registry are exempt: the registry authenticates them
itself, because its clients also send Basic credentials.
"""

from __future__ import annotations

from typing import Any, Final

from klever.routers.envoy.clusters import ACCESS
from klever.routers.envoy.gateway import Gateway

__all__ = ["EXEMPT", "access_filters", "access_replies"]

_NAME: Final = "envoy.filters.http.ext_authz"
_MESSAGES: Final = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3"
_WAIT: Final = "10s"
"""How long a request waits for a restarting access server."""
_RETRIES: Final = {
    "retry_on": "connect-failure,reset",
    "num_retries": 50,
    "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
}
_UNAVAILABLE: Final = "the gateway cannot check the token of this request now: try again"

EXEMPT: Final[dict[str, Any]] = {_NAME: {"@type": f"{_MESSAGES}.ExtAuthzPerRoute", "disabled": True}}
"""Part of a route's `typed_per_filter_config`: its requests pass without a check."""


def access_filters(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the filter, or nothing on loopback. It must precede all filters that read a body."""
    if not gateway.beyond_loopback:
        return []
    headers = (
        "content-type",
        "namespace",
        "seldon",
    )  # Envoy always sends Authorization and the path
    config = {
        "@type": f"{_MESSAGES}.ExtAuthz",
        "transport_api_version": "V3",
        "http_service": {
            "server_uri": {"uri": "http://access", "cluster": ACCESS, "timeout": _WAIT},
            "retry_policy": _RETRIES,
        },
        "allowed_headers": {"patterns": [{"exact": name, "ignore_case": True} for name in headers]},
        "status_on_error": {"code": "ServiceUnavailable"},
    }
    return [{"name": _NAME, "typed_config": config}]


def access_replies(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the local replies for requests whose check timed out."""
    if not gateway.beyond_loopback:
        return []
    grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    error = {"body_format_override": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}}
    return [
        {"filter": _unanswered(grpc), "body": {"inline_string": _UNAVAILABLE}},
        {"filter": _unanswered(), "body": {"inline_string": _UNAVAILABLE}, **error},
    ]


def _unanswered(*headers: dict[str, Any]) -> dict[str, Any]:
    status = {"op": "EQ", "value": {"default_value": 503, "runtime_key": "klever.unanswered"}}
    filters = [
        {"status_code_filter": {"comparison": status}},
        {"response_flag_filter": {"flags": ["UAEX"]}},
        *({"header_filter": {"header": header}} for header in headers),
    ]
    return {"and_filter": {"filters": filters}}
