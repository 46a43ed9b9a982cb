"""Rebalancing: predictors that are up take over the shares of those that are down, so that no request is lost."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from klever.traffic.shares import WHOLE

__all__ = ["inherit", "rebalance"]


def rebalance(weights: Mapping[str, int], up: AbstractSet[str]) -> dict[str, int]:
    """Return shares that sum to 100, divided among the predictors in `up` in proportion to their weights.

    Others get 0. The weights are unchanged if no predictor in `up` has one. Fractions go to the largest remainders,
    then by name, so that equal input gives equal shares.
    """
    able = {name: weight for name, weight in weights.items() if name in up and weight > 0}
    total = sum(able.values())
    if total == 0:
        return dict(weights)
    shares = {name: weight * WHOLE // total for name, weight in able.items()}
    by_remainder = sorted(able, key=lambda name: (-(able[name] * WHOLE % total), name))
    for name in by_remainder[: WHOLE - sum(shares.values())]:
        shares[name] += 1
    return {name: shares.get(name, 0) for name in weights}


def inherit(weights: Mapping[str, int], share: int) -> dict[str, int]:
    """Return the weights of removed predictors, which divide `share` in proportion until their successors are up.

    Each predictor gets at least 1. The result is empty if no predictor has a share to give.
    """
    total = sum(weights.values())
    return {name: max(weight * share // total, 1) for name, weight in weights.items()} if share else {}
