"""Answers of the gateway itself, in the shape that each client reads.

Below /api/ it is google.rpc.Status as JSON, like every error of the API. Elsewhere it is `{"error": …}`, which clients
of the Open Inference Protocol read. Over gRPC it is the status and its message.
"""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = [
    "API_PREFIX",
    "NO_GRPC_WEB",
    "UNTRANSCODED",
    "api_replies",
    "api_reply",
    "refuse",
    "refuse_api",
    "refuse_grpc",
]

API_PREFIX: Final = "/api/"

_CODES: Final = {
    400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 429: 8, 431: 8,
    500: 13, 501: 12, 502: 14, 503: 14, 504: 4,
}  # fmt: skip
"""The code in google.rpc.Code for an HTTP status (google/rpc/code.proto)."""

_OFF: Final = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}

NO_GRPC_WEB: Final[dict[str, Any]] = {"envoy.filters.http.grpc_web": _OFF}
"""Part of a route's `typed_per_filter_config`: its requests are not gRPC."""

UNTRANSCODED: Final[dict[str, Any]] = {
    "typed_per_filter_config": {"envoy.filters.http.grpc_json_transcoder": _OFF},
}
"""Part of every route but those of the API, whose transcoder answers 404 to everything but methods."""


def refuse(match: dict[str, Any], status: int, message: str) -> dict[str, Any]:
    """Return a route that answers `{"error": …}`."""
    return {
        **UNTRANSCODED,
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps({"error": message}) + "\n"}},
        "response_headers_to_add": [_header("content-type", "application/json")],
    }


def refuse_api(match: dict[str, Any], status: int, message: str) -> dict[str, Any]:
    """Return a route below /api/ that answers a google.rpc.Status: `api_replies` makes it of the message."""
    return {**UNTRANSCODED, "match": match, "direct_response": {"status": status, "body": {"inline_string": message}}}


def refuse_grpc(match: dict[str, Any], status: int, code: int, message: str) -> dict[str, Any]:
    """Return a route that answers a gRPC call with a status code."""
    return {
        **UNTRANSCODED,
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": message}},
        "response_headers_to_add": [_header("grpc-status", str(code))],
    }


def api_replies() -> list[dict[str, Any]]:
    """Return the mappers of the gateway's own answers below /api/, one for each status."""
    return [api_reply(status) for status in _CODES]


def api_reply(status: int) -> dict[str, Any]:
    """Return the mapper of the gateway's own answers with one status below /api/."""
    shape = {"code": _CODES[status], "message": "%LOCAL_REPLY_BODY%", "details": []}
    return {"filter": _below_api(status), "body_format_override": {"json_format": shape}}


def _below_api(status: int) -> dict[str, Any]:
    value = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"klever.status_{status}"}}
    paths = [
        {"header_filter": {"header": {"name": name, "string_match": {"prefix": API_PREFIX}}}}
        for name in (":path", "x-envoy-original-path")  # the latter of a request that was transcoded
    ]
    filters = [{"status_code_filter": {"comparison": value}}, {"or_filter": {"filters": paths}}]
    return {"and_filter": {"filters": filters}}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
