"""Promotes, removes and scales the predictors of a Serving. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from klever.errors import FailedPreconditionError, NotFoundError
from klever.traffic.matches import is_matched
from klever.traffic.rebalancing import rebalance
from klever.traffic.shares import WHOLE, read_shares

__all__ = ["CANARY", "MAIN", "abort", "find", "primary", "promote", "scale"]

MAIN: Final = "main"
"""The predictor that a promotion changes."""
CANARY: Final = "canary"
"""The predictor that is tried beside it."""

Predictor = dict[str, Any]


def find(predictors: Iterable[Predictor], name: str) -> Predictor:
    """Return the predictor with this name. Raises `NotFoundError` that lists the existing ones."""
    known = {p["name"]: p for p in predictors}
    if name not in known:
        raise NotFoundError(f"predictor {name} not found; the predictors are: {', '.join(known)}")
    return known[name]


def primary(predictors: Iterable[Predictor]) -> Predictor:
    """Return `main`, or the only predictor. Raises `NotFoundError` if there are several and none is `main`."""
    every = list(predictors)
    return every[0] if len(every) == 1 else find(every, MAIN)


def promote(predictors: Iterable[Predictor], name: str, default: int = 1) -> list[Predictor]:
    """Return the predictors after `name` replaces main: main runs the model of `name`, and `name` is removed.

    Main takes the requests of both, and the larger number of replicas. `default` is the number of replicas of a
    predictor that sets none. Raises `NotFoundError`, and `FailedPreconditionError` if `name` is main.
    """
    every = list(predictors)
    promoted, main = find(every, name), find(every, MAIN)
    if name == MAIN:
        raise FailedPreconditionError("main cannot be promoted: name the predictor that becomes main")
    shares = read_shares(every)
    changed = {k: v for k, v in promoted.items() if k not in ("traffic", "matches", "replicas")}
    changed |= {"name": MAIN} | {k: main[k] for k in ("matches",) if k in main}
    replicas = max(promoted.get("replicas", default), main.get("replicas", default))
    if "replicas" in main or replicas != default:
        changed["replicas"] = replicas
    left = [changed if p["name"] == MAIN else p for p in every if p["name"] != name]
    return _with_shares(left, {**shares, MAIN: shares.get(MAIN, 0) + shares.get(name, 0)})


def abort(predictors: Iterable[Predictor], name: str) -> list[Predictor]:
    """Return the predictors without `name`; the others take its share in proportion to theirs, or equally.

    Raises `NotFoundError`, and `FailedPreconditionError` for the only predictor and for main.
    """
    every = list(predictors)
    find(every, name)
    left = [p for p in every if p["name"] != name]
    if not left or name == MAIN:
        raise FailedPreconditionError(f"predictor {name} cannot be removed: delete the Serving, or apply another spec")
    return _with_shares(left, read_shares(every))


def scale(spec: Mapping[str, Any], name: str, replicas: int) -> dict[str, Any]:
    """Return the part of a spec that gives a predictor another number of replicas; `name` is empty for the primary one.

    It is `spec.replicas` where no other predictor has that number, so that an autoscaler can go on from there. Raises
    `NotFoundError`, and `FailedPreconditionError` for a predictor that its own autoscaling scales, unless it is turned
    off or on.
    """
    every: list[Predictor] = spec["predictors"]
    chosen = find(every, name) if name else primary(every)
    scaling = chosen.get("autoscaling")
    if scaling and replicas and chosen.get("replicas", spec.get("replicas", 1)):
        between = f"between {scaling.get('min', 1)} and {scaling['max']}"
        raise FailedPreconditionError(
            f"the autoscaler chooses the replicas of predictor {chosen['name']} {between}: change its autoscaling"
        )
    if [p for p in every if "replicas" not in p] == [chosen]:
        return {"replicas": replicas}
    return {"predictors": [{**p, "replicas": replicas} if p is chosen else p for p in every]}


def _with_shares(predictors: list[Predictor], shares: Mapping[str, int]) -> list[Predictor]:
    """Return the predictors with shares in proportion to these, that sum to 100."""
    shared = [p["name"] for p in predictors if not is_matched(p)]
    weights = {name: shares.get(name, 0) for name in shared}
    if shared and not any(weights.values()):
        weights = dict.fromkeys(shared, WHOLE)
    new = rebalance(weights, set(shared))
    return [{**p, "traffic": new[p["name"]]} if p["name"] in new else p for p in predictors]
