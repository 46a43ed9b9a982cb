"""The structural schemas of our kinds, from the CRDs in the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from klever.api.kinds import KINDS, Kind

__all__ = ["HAS_DEFAULTS", "HAS_RULES", "Schema", "schema_of"]

HAS_RULES = "x-klever-rules"
HAS_DEFAULTS = "x-klever-defaults"

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
    _mark(schema)
    return schema


def _mark(schema: Schema) -> tuple[bool, bool]:
    """Note where there are rules and defaults at all, here or below: most of a schema need not be walked for them."""
    below = [_mark(part) for part in (*schema.get("properties", {}).values(), schema.get("items")) if part]
    schema[HAS_RULES] = "x-kubernetes-validations" in schema or any(rules for rules, _ in below)
    schema[HAS_DEFAULTS] = "default" in schema or any(defaults for _, defaults in below)
    return schema[HAS_RULES], schema[HAS_DEFAULTS]
