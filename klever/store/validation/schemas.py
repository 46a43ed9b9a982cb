"""The structural schemas of our kinds, from the CRDs in the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from klever.api.kinds import KINDS, Kind

__all__ = ["Schema", "schema_of"]

Schema = dict[str, Any]


@cache
def schema_of(kind: Kind) -> Schema | None:
    """Return the kind's openAPIV3Schema; None for kinds of Kubernetes' own."""
    if kind not in KINDS or not kind.group:
        return None
    crd = files("klever.v1alpha1") / "crd" / f"{kind.resource}.yaml"
    document = yaml.load(crd.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    version = next(v for v in document["spec"]["versions"] if v["name"] == kind.version)
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema
