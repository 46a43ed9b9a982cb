"""The guard of Triton at Istio's gateway: one EnvoyFilter, which routes with certain names enable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from klever.routers.guard import EXTENSIONS, guard_source
from klever.routers.istio.settings import IstioSettings
from klever.routers.rules import Call, Rule

__all__ = ["GUARDED", "guard_spec", "route_name"]

GUARDED: Final = "klever-triton"
"""The name of a route whose requests are checked when they are complete."""
_GUARDED_STREAM: Final = "klever-triton-stream"
_PLAIN: Final = "klever"
_BUFFER: Final = "klever.guard.buffer"
_LUA: Final = "klever.guard.lua"
"""The names of the filters, which no other EnvoyFilter uses."""
_SCRIPT: Final = "guard"
_ROUTER: Final = {
    "context": "GATEWAY",
    "listener": {
        "filterChain": {
            "filter": {
                "name": "envoy.filters.network.http_connection_manager",
                "subFilter": {"name": "envoy.filters.http.router"},
            }
        }
    },
}


def route_name(rule: Rule) -> str:
    """Return the name of a rule's route, which says how requests are checked."""
    if not rule.guarded:
        return _PLAIN
    return _GUARDED_STREAM if rule.call is Call.STREAM else GUARDED


def guard_spec(settings: IstioSettings) -> dict[str, Any]:
    """Return the spec of the EnvoyFilter. Its filters do nothing on other routes of the gateway."""
    size = {"max_request_bytes": settings.limits.request_bytes}
    buffer = {"@type": f"{EXTENSIONS}.buffer.v3.BufferPerRoute", "buffer": size}
    lua = {"@type": f"{EXTENSIONS}.lua.v3.LuaPerRoute", "name": _SCRIPT}
    scripts = {_SCRIPT: {"inline_string": guard_source(settings.limits)}}
    return {
        "workloadSelector": {"labels": dict(settings.selector)},
        "configPatches": [
            _add(_BUFFER, {"@type": f"{EXTENSIONS}.buffer.v3.Buffer", **size}),
            _add(_LUA, {"@type": f"{EXTENSIONS}.lua.v3.Lua", "source_codes": scripts}),
            _enable(GUARDED, {_BUFFER: buffer, _LUA: lua}),
            _enable(_GUARDED_STREAM, {_LUA: lua}),
        ],
    }


def _add(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return _patch("HTTP_FILTER", _ROUTER, "INSERT_BEFORE", {"name": name, "disabled": True, "typed_config": config})


def _enable(route: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Enable filters by settings of their own: Istio cannot read an empty FilterConfig, which would enable them too."""
    match = {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"name": route}}}}
    return _patch("HTTP_ROUTE", match, "MERGE", {"typed_per_filter_config": filters})


def _patch(place: str, match: Mapping[str, Any], operation: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"applyTo": place, "match": match, "patch": {"operation": operation, "value": value}}
