"""What a change did to a Serving, a line for each predictor that it touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from klever.api.codec import to_object
from klever.cli.terminal import escaped
from klever.traffic.replicas import with_replicas
from klever.traffic.shares import WHOLE, read_shares

__all__ = ["describe_changes", "print_changes"]

_DIGEST_SHOWN: Final = 19
"""Characters of a digest: `sha256:` and twelve digits."""


def print_changes(before: Any, after: Any) -> None:
    """Print how the predictors of two states of a Serving differ, or that they do not. `before` is None for none."""
    lines = list(describe_changes(_predictors(before), _predictors(after)))
    for line in lines or ["unchanged"]:
        print(escaped(line))


def describe_changes(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield `main: team/digits:v1 -> team/digits:v2, replicas 1 -> 2`. Predictors are by name."""
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if new is None:
            yield f"{name}: removed"
        elif old is None:
            yield f"{name}: {', '.join(_told(new))}"
        elif old != new:
            yield f"{name}: {', '.join(_differences(old, new))}"


def _predictors(serving: Any) -> dict[str, dict[str, Any]]:
    predictors = with_replicas(to_object(serving.spec)) if serving is not None and serving.spec.predictors else []
    shares = {name: {"traffic": share} for name, share in read_shares(predictors).items()}
    return {predictor["name"]: {**predictor, **shares.get(predictor["name"], {})} for predictor in predictors}


def _told(predictor: dict[str, Any]) -> Iterator[str]:
    for field, value in predictor.items():
        if field not in ("name", "replicas") and (field, value) != ("traffic", WHOLE):
            yield _value(field, value)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for field in {**old, **new}:
        if old.get(field) != new.get(field):
            before, after = (_plain(field, of.get(field)) for of in (old, new))
            yield f"{before} -> {after}" if field == "model" else f"{field} {before} -> {after}"


def _value(field: str, value: Any) -> str:
    return _plain(field, value) if field == "model" else f"{field} {_plain(field, value)}"


def _plain(field: str, value: Any) -> str:
    if value is None:
        return "none"
    if field == "model":
        name, at, digest = str(value).partition("@")
        return f"{name}{at}{digest[:_DIGEST_SHOWN]}"
    if field == "traffic":
        return f"{value}%"
    return str(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
