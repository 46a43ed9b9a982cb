"""Answers of the gateway to requests that exceed the concurrency or the timeout of their Serving.

Envoy's circuit breakers answer 503, and its timeouts end gRPC calls with UNAVAILABLE. Clients retry these at once. A
Serving above its `maxConcurrency` answers 429 with Retry-After (RFC 6585, section 4), in the shape of its protocol.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["serving_replies"]

_RETRY_SECONDS: Final = "1"
_OVERFLOW, _TIMEOUT = "UO", "UT"
"""Response flags of Envoy's access log: a circuit breaker is open, and the route's timeout has passed."""
_BUSY: Final = "the serving works on as many requests as its maxConcurrency allows: send fewer at once, or retry"
_LATE: Final = "the serving did not answer within its timeoutSeconds"
_DEADLINE_EXCEEDED, _RESOURCE_EXHAUSTED = "4", "8"  # google/rpc/code.proto


def serving_replies() -> list[dict[str, Any]]:
    """Return the mappers, which must precede those of other 503 and 504 answers."""
    return [
        *_mappers(_OVERFLOW, 429, _BUSY, _RESOURCE_EXHAUSTED, [_header("retry-after", _RETRY_SECONDS)]),
        *_mappers(_TIMEOUT, 504, _LATE, _DEADLINE_EXCEEDED, []),
    ]


def _mappers(flag: str, status: int, message: str, code: str, headers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mapper of gRPC calls and that of HTTP requests, whose original path Envoy has rewritten."""
    body = {"inline_string": message}
    grpc = {"header_filter": {"header": {"name": ":path", "string_match": {"prefix": "/inference."}}}}
    http = {"header_filter": {"header": {"name": "x-envoy-original-path", "string_match": {"prefix": "/seldon/"}}}}
    return [
        {
            "filter": _both(flag, grpc),
            "status_code": status,
            "body": body,
            "headers_to_add": [*headers, _header("grpc-status", code)],
        },
        {
            "filter": _both(flag, http),
            "status_code": status,
            "body": body,
            "body_format_override": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}},
            "headers_to_add": headers,
        },
    ]


def _both(flag: str, path: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": [{"response_flag_filter": {"flags": [flag]}}, path]}}


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
