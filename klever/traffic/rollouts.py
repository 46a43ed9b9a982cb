"""Promotion, its opposite, and scaling, as changes of a Serving's predictors."""

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
    """Return the predictor of this name; raises `NotFoundError` that lists those that there are."""
    known = {p["name"]: p for p in predictors}
    if name not in known:
        raise NotFoundError(f"predictor {name} not found; the predictors are: {', '.join(known)}")
    return known[name]


def primary(predictors: Iterable[Predictor]) -> Predictor:
    """Return `main`, or the only predictor. Raises `NotFoundError` if there are several and none is `main`."""
    every = list(predictors)
    return every[0] if len(every) == 1 else find(every, MAIN)


def promote(predictors: Iterable[Predictor], name: str) -> list[Predictor]:
    """Return the predictors with what `name` runs as main, and without `name`.

    Main takes the requests of both and keeps its number of replicas if that is larger. Raises `NotFoundError`, and
    `FailedPreconditionError` for main itself.
    """
    every = list(predictors)
    promoted, main = find(every, name), find(every, MAIN)
    if name == MAIN:
        raise FailedPreconditionError("main cannot be promoted: name the predictor that becomes main")
    shares = read_shares(every)
    changed = {k: v for k, v in promoted.items() if k not in ("traffic", "matches")}
    changed |= {"name": MAIN, "replicas": max(promoted.get("replicas", 1), main.get("replicas", 1))}
    changed |= {k: main[k] for k in ("matches",) if k in main}
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


def scale(predictors: Iterable[Predictor], name: str, replicas: int) -> list[Predictor]:
    """Return the predictors with another number of replicas for `name`. Raises `NotFoundError`."""
    every = list(predictors)
    find(every, name)
    return [{**p, "replicas": replicas} if p["name"] == name else p for p in every]


def _with_shares(predictors: list[Predictor], shares: Mapping[str, int]) -> list[Predictor]:
    """Return the predictors with shares in proportion to these, that sum to 100."""
    shared = [p["name"] for p in predictors if not is_matched(p)]
    weights = {name: shares.get(name, 0) for name in shared}
    if shared and not any(weights.values()):
        weights = dict.fromkeys(shared, WHOLE)
    new = rebalance(weights, set(shared))
    return [{**p, "traffic": new[p["name"]]} if p["name"] in new else p for p in predictors]
