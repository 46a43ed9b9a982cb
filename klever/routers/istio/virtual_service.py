"""The VirtualService of a Serving: an allow-list, and an answer that tells which version of it is live."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm
from typing import Any, Final

from klever.api.kinds import Kind
from klever.routers import Route, RouteKey
from klever.routers.istio.destinations import Destination, Names, build_destinations
from klever.routers.istio.guard import GUARDED, route_name
from klever.routers.istio.matches import header_conditions
from klever.routers.istio.settings import IstioSettings
from klever.routers.rules import BASE, Call, Rule, build_rules, retry_policy

__all__ = ["Plan", "plan_route", "version_path"]

_UNAVAILABLE: Final = 14  # google/rpc/code.proto


@dataclass(frozen=True, slots=True)
class Plan:
    """The specs of a route: the VirtualService and, by kind and name, those that it needs. `version` is its digest."""

    version: str
    spec: Mapping[str, Any]
    parts: Mapping[tuple[Kind, str], Mapping[str, Any]]
    guarded: bool


def version_path(key: RouteKey) -> str:
    """Return the path at which the gateway tells the version of a route."""
    return f"/.klever/routes/{key.namespace}/{key.serving}"


def plan_route(route: Route, settings: IstioSettings, gateway: str, names: Names) -> Plan:
    """Return the objects of a route on a cluster. `gateway` is `NAMESPACE/NAME`. Pure."""
    rules = build_rules(route)
    parts: dict[tuple[Kind, str], Mapping[str, Any]] = {}
    entries = []
    for rule in rules:
        shares = _shares(route.key, rule, names)
        for destination, _ in shares:
            parts |= destination.objects
        entries.append(_entry(route, rule, shares))
    guarded = any(rule.guarded for rule in rules)
    base = {"hosts": list(settings.hosts), "gateways": [gateway], "exportTo": ["*"], "http": entries}
    version = _digest([base, [[kind.kind, name, spec] for (kind, name), spec in sorted_parts(parts)]])
    http = [_version(route.key, version, guarded=guarded), *entries]
    return Plan(version, {**base, "http": http}, parts, guarded)


def sorted_parts(
    parts: Mapping[tuple[Kind, str], Mapping[str, Any]],
) -> list[tuple[tuple[Kind, str], Mapping[str, Any]]]:
    return sorted(parts.items(), key=lambda part: (part[0][0].kind, part[0][1]))


def _shares(key: RouteKey, rule: Rule, names: Names) -> list[tuple[Destination, int]]:
    """Return destinations and their weights: those of one target share its weight equally."""
    grpc = rule.call is not Call.HTTP
    found = [(build_destinations(key, target, names, grpc=grpc), weight) for target, weight in rule.targets]
    each = lcm(*(len(destinations) for destinations, _ in found))
    return [(one, weight * each // len(many)) for many, weight in found for one in many]


def _entry(route: Route, rule: Rule, shares: list[tuple[Destination, int]]) -> dict[str, Any]:
    path = {"exact": rule.path} if rule.call is Call.STREAM else {"regex": rule.path}
    matched = {"name": route_name(rule), "match": [{"uri": path, **header_conditions(rule.headers)}]}
    if not shares:
        return matched | _unavailable(route.key, rule.call)
    attempts, failures = retry_policy(route.retries)
    return {
        **matched,
        **(_rewrite(route.key) if rule.call is Call.HTTP else {}),
        "route": [{"destination": _destination(one), "weight": weight} for one, weight in shares],
        "timeout": f"{route.timeout_seconds}s",
        "retries": {"attempts": attempts, "retryOn": ",".join(failures)},
        "headers": {"request": {"remove": ["authorization"]}},  # the model must not see the token of the platform
    }


def _destination(destination: Destination) -> dict[str, Any]:
    return {"host": destination.host, "port": {"number": destination.port}}


def _rewrite(key: RouteKey) -> dict[str, Any]:
    base = re.escape(f"{BASE}/{key.namespace}/{key.serving}")
    return {"rewrite": {"uriRegexRewrite": {"match": f"^{base}(/.*)?$", "rewrite": r"\1"}}}


def _unavailable(key: RouteKey, call: Call) -> dict[str, Any]:
    message = f"serving {key.serving} in {key.namespace} has no predictor that is ready"
    text = json.dumps({"error": message}) + "\n" if call is Call.HTTP else message
    header = {"content-type": "application/json"} if call is Call.HTTP else {"grpc-status": str(_UNAVAILABLE)}
    return _answer(503, text, header)


def _version(key: RouteKey, version: str, *, guarded: bool) -> dict[str, Any]:
    """Return the entry that tells the version. It is guarded like the others, so that the guard can be seen to work."""
    name = {"name": GUARDED} if guarded else {}
    return {**name, "match": [{"uri": {"exact": version_path(key)}}], **_answer(200, version, {})}


def _answer(status: int, text: str, headers: Mapping[str, str]) -> dict[str, Any]:
    response = {"headers": {"response": {"set": dict(headers)}}} if headers else {}
    return {"directResponse": {"status": status, "body": {"string": text}}, **response}


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
