"""The guard of Triton at Istio's gateway: one EnvoyFilter, which routes with certain names enable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from klever.routers.guard import REQUEST_GUARD, STREAM_GUARD, guard_filters
from klever.routers.istio.settings import IstioSettings
from klever.routers.rules import Call, Rule

__all__ = ["GUARDED", "guard_spec", "route_name"]

GUARDED: Final = "klever-triton"
"""The name of a route whose requests are checked when they are complete."""
_GUARDED_STREAM: Final = "klever-triton-stream"
_PLAIN: Final = "klever"
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
    filters = [{**one, "name": _own(one["name"])} for one in guard_filters(settings.limits)]
    return {
        "workloadSelector": {"labels": dict(settings.selector)},
        "configPatches": [
            *(_patch("HTTP_FILTER", _ROUTER, "INSERT_BEFORE", one) for one in filters),
            _enable(GUARDED, REQUEST_GUARD),
            _enable(_GUARDED_STREAM, STREAM_GUARD),
        ],
    }


def _enable(name: str, guard: Mapping[str, Any]) -> dict[str, Any]:
    match = {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"name": name}}}}
    filters = {_own(filter_): config for filter_, config in guard.items()}
    return _patch("HTTP_ROUTE", match, "MERGE", {"typed_per_filter_config": filters})


def _patch(place: str, match: Mapping[str, Any], operation: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"applyTo": place, "match": match, "patch": {"operation": operation, "value": value}}


def _own(name: str) -> str:
    """Return a name that no other EnvoyFilter uses."""
    return name.replace("envoy.filters.http", "klever.guard")
