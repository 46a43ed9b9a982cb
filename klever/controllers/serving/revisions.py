"""Reads and compares ServingRevisions. Pure functions.

Two revisions differ in their predictors or in the versions of their models. Pins map the name of a predictor to a
reference with a digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from klever.api.kinds import Object
from klever.controllers.serving.snapshot import read_pin
from klever.oci.digest import Digest
from klever.oci.reference import Reference

__all__ = [
    "earlier",
    "is_current",
    "is_owned",
    "last_use",
    "pin",
    "pinned_predictors",
    "read_number",
    "read_pins",
    "restored_predictors",
    "runs",
    "served_intervals",
    "serves",
    "with_digest",
]

Predictor = dict[str, Any]


def read_number(revision: Object) -> int:
    return int(revision["spec"]["number"])


def is_owned(revision: Object, serving: Object) -> bool:
    """Return whether the revision belongs to this Serving, and not to a deleted one of the same name."""
    owners = revision["metadata"].get("ownerReferences", ())
    return any(owner["uid"] == serving["metadata"]["uid"] for owner in owners)


def served_intervals(revision: Object) -> list[dict[str, Any]]:
    """Return the intervals in which it served. Each has a `startTime`, and an `endTime` unless it still serves."""
    intervals: list[dict[str, Any]] = revision.get("status", {}).get("served", [])
    return intervals


def is_current(revision: Object) -> bool:
    """Return whether a revision serves, or was interrupted by Recreate and serves again if the next one fails."""
    return serves(revision) or any(i.get("interrupted") for i in served_intervals(revision)[-1:])


def serves(revision: Object) -> bool:
    intervals = served_intervals(revision)
    return bool(intervals) and "endTime" not in intervals[-1]


def last_use(revision: Object) -> tuple[str, int]:
    """Sort revisions by the start of their last interval."""
    return max((i["startTime"] for i in served_intervals(revision)), default=""), read_number(revision)


def earlier(revisions: Iterable[Object], number: int) -> Object | None:
    """Return the revision with a lower number that served most recently, or None.

    A second rollback therefore goes further back, and never to a revision that a rollback left.
    """
    return max((r for r in revisions if read_number(r) < number), key=last_use, default=None)


def runs(revision: Object, predictors: Iterable[Predictor], pins: Mapping[str, str]) -> bool:
    """Return whether the revision has these predictors with these pins."""
    return pinned_predictors(revision) == pin(predictors, pins)


def pinned_predictors(revision: Object) -> list[Predictor]:
    """Return the predictors of a revision, each with the version that it ran."""
    pins = {model["predictor"]: model["model"] for model in revision["spec"].get("models", ())}
    return pin(revision["spec"]["template"]["predictors"], pins)


def restored_predictors(revision: Object) -> list[Predictor]:
    """Return the predictors of a revision for a new spec. Each reference has its tag, for readers, and its digest."""
    digests = {model["predictor"]: model["digest"] for model in revision["spec"].get("models", ())}
    predictors: list[Predictor] = revision["spec"]["template"]["predictors"]
    return [
        {**p, "model": with_digest(p["model"], digests[p["name"]])} if p["name"] in digests else p for p in predictors
    ]


def pin(predictors: Iterable[Predictor], pins: Mapping[str, str]) -> list[Predictor]:
    return [{**p, "model": pins[p["name"]]} if p["name"] in pins else p for p in predictors]


def read_pins(serving: Object) -> dict[str, str]:
    """Return the pins in the status of a Serving."""
    found = {p["name"]: (p.get("model", ""), read_pin(serving, p).get("digest")) for p in serving["spec"]["predictors"]}
    return {
        name: str(Reference.parse(model).with_digest(Digest.parse(digest)))
        for name, (model, digest) in found.items()
        if digest
    }


def with_digest(model: str, digest: str) -> str:
    """Return a reference with its tag, if it has one, and this digest."""
    reference = Reference.parse(model)
    return f"{reference.name}{f':{reference.tag}' if reference.tag else ''}@{digest}"
