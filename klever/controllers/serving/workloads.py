"""Computes the workloads of predictors with pinned models. Pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from klever.backends import Autoscaling, PredictorWorkload
from klever.controllers.env import reserved_variables
from klever.controllers.serving.snapshot import Resolution, ResolvedModel
from klever.errors import FieldViolation
from klever.formats import Trust
from klever.runtimes.tuning import TUNING_FIELDS, read_tuning
from klever.traffic.matches import Match, header_matches
from klever.traffic.replicas import runs_own_server

__all__ = ["Check", "MatchCheck", "build_workload", "find_violations"]

Check = Callable[[PredictorWorkload], tuple[FieldViolation, ...]]
MatchCheck = Callable[[tuple[Match, ...]], tuple[FieldViolation, ...]]


def find_violations(
    predictors: Iterable[dict[str, Any]],
    models: Mapping[str, ResolvedModel],
    check: Check,
    check_matches: MatchCheck,
) -> dict[str, tuple[FieldViolation, ...]]:
    """Return the reasons why predictors with resolved models cannot run as specified, by predictor name.

    `check` is that of the backend, `check_matches` that of the router. Field paths are relative to the predictor.
    """
    found = {p["name"]: _violations(p, models[p["name"]], check, check_matches) for p in predictors}
    return {name: violations for name, violations in found.items() if violations}


def _violations(
    predictor: dict[str, Any], model: ResolvedModel, check: Check, check_matches: MatchCheck
) -> tuple[FieldViolation, ...]:
    if model.state is not Resolution.RESOLVED:
        return ()
    reserved = reserved_variables(predictor.get("env", ()), own_command=runs_own_server(predictor))
    return (
        *reserved,
        *_untunable(predictor, model),
        *check(build_workload(predictor, model)),
        *check_matches(header_matches(predictor)),
    )


def _untunable(predictor: dict[str, Any], model: ResolvedModel) -> Iterator[FieldViolation]:
    for field in TUNING_FIELDS:
        if field in predictor and not model.tunable:
            yield FieldViolation(field, f"the runtime {model.runtime} does not support it: remove it")


def build_workload(predictor: dict[str, Any], model: ResolvedModel) -> PredictorWorkload:
    """Return the workload of a predictor with a resolved model.

    Its id is a hash of its content and does not depend on the predictor. A promotion therefore restarts nothing.
    """
    version = model.version
    fields: dict[str, Any] = {
        "runtime": model.runtime,
        "model": str(version.pinned) if version else "",
        "content": str(version.content) if version else "",
        "format": version.metadata.format if version else "",
        "env": tuple(predictor.get("env", ())),
        "command": tuple(predictor.get("command", ())),
        "probe_path": predictor.get("probePath", ""),
        "resources": predictor.get("resources", {}),
    } | _given(predictor)
    tuning = {field: predictor[field] for field in TUNING_FIELDS if field in predictor}
    identity = json.dumps(fields | tuning, sort_keys=True).encode()
    return PredictorWorkload(
        predictor=predictor["name"],
        id=hashlib.sha256(identity).hexdigest()[:10],
        replicas=predictor.get("replicas", 1),
        signature=version.metadata.signature if version else None,
        trust=model.trust or Trust.CODE,
        tuning=read_tuning(predictor),
        autoscaling=_autoscaling(predictor.get("autoscaling")),
        **fields,
    )


def _given(predictor: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an own server and of its pod if there are any, so that the ids of others stay the same."""
    found = {
        "image": predictor.get("image", ""),
        "args": tuple(predictor.get("args", ())),
        "ports": {port["name"]: port["containerPort"] for port in predictor.get("ports", ())},
        "pod": predictor.get("pod", {}),
    }
    return {name: value for name, value in found.items() if value}


def _autoscaling(spec: Mapping[str, Any] | None) -> Autoscaling | None:
    if spec is None:
        return None
    metric = spec.get("metric", {})
    return Autoscaling(
        least=min(spec.get("min", 1), spec["max"]),
        most=spec["max"],
        cpu=spec.get("cpu", 0),
        memory=spec.get("memory", 0),
        metric=metric.get("name", ""),
        average=str(metric.get("average", "")),
    )
