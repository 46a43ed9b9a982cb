"""The guard of inference servers that do not withstand every request: two filters that a route can enable.

The buffer filter holds a request until it is complete and forwards it with its length. `guard.lua` then reads it once.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from klever.limits import Limits

__all__ = ["EXTENSIONS", "REQUEST_GUARD", "STREAM_GUARD", "guard_filters", "guard_replies", "guard_source"]

_BUFFER: Final = "envoy.filters.http.buffer"
_LUA: Final = "envoy.filters.http.lua"
EXTENSIONS: Final = "type.googleapis.com/envoy.extensions.filters.http"
_ENABLED: Final = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}


def guard_source(limits: Limits) -> str:
    """Return the code of the Lua filter."""
    code = (files(__name__) / "guard.lua").read_text()
    memory = limits.gateway_bytes // 4  # for each of two threads; the other half is Envoy's heap
    return f"local REQUEST_BYTES, MEMORY_BYTES = {limits.request_bytes}, {memory}\n{code}"


def guard_filters(limits: Limits) -> list[dict[str, Any]]:
    """Return the filters, which must precede the router. They do nothing on a route that does not enable them."""
    return [
        {
            "name": _BUFFER,
            "disabled": True,
            "typed_config": {"@type": f"{EXTENSIONS}.buffer.v3.Buffer", "max_request_bytes": limits.request_bytes},
        },
        {
            "name": _LUA,
            "disabled": True,
            "typed_config": {
                "@type": f"{EXTENSIONS}.lua.v3.Lua",
                "default_source_code": {"inline_string": guard_source(limits)},
            },
        },
    ]


def guard_replies(limits: Limits) -> list[dict[str, Any]]:
    """Return the local replies to requests that are too large for the buffer filter.

    HTTP clients of the Open Inference Protocol read `{"error": …}`. By default Envoy would answer UNKNOWN over gRPC.
    """
    message = (
        f"the request is larger than {limits.request_bytes} bytes, the limit request_bytes: "
        "send less, or start the platform with a larger --limit request_bytes=BYTES"
    )
    status = {"header": {"key": "grpc-status", "value": "8"}}  # RESOURCE_EXHAUSTED
    return [
        {
            "filter": _too_large("/inference.GRPCInferenceService/"),
            "body": {"inline_string": message},
            "headers_to_add": [status],
        },
        {
            "filter": _too_large("/seldon/"),
            "body": {"inline_string": message},
            "body_format_override": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}},
        },
    ]


def _too_large(prefix: str) -> dict[str, Any]:
    status = {"op": "EQ", "value": {"default_value": 413, "runtime_key": "klever.too_large"}}
    path = {"name": ":path", "string_match": {"prefix": prefix}}
    return {
        "and_filter": {
            "filters": [{"status_code_filter": {"comparison": status}}, {"header_filter": {"header": path}}],
        }
    }


REQUEST_GUARD: Final[dict[str, Any]] = {_BUFFER: _ENABLED, _LUA: _ENABLED}
"""Part of a route's `typed_per_filter_config`: a request is held until it is complete."""

STREAM_GUARD: Final[dict[str, Any]] = {_LUA: _ENABLED}
"""The same for the route of a stream, whose messages are held one by one."""
