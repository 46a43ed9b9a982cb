"""From predictors and their pinned models to what shall run. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from klever.backends import PredictorWorkload
from klever.controllers.env import values_of
from klever.controllers.serving.snapshot import ResolvedModel
from klever.errors import FieldViolation, InvalidError
from klever.formats import Trust

__all__ = ["parse_cpu", "parse_memory", "workload_of"]

_SUFFIXES = {
    "": 1,
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")


def workload_of(predictor: dict[str, Any], model: ResolvedModel) -> PredictorWorkload:
    """Return one predictor's workload; raises `InvalidError` for quantities that are none."""
    version = model.version
    resources = predictor.get("resources", {})
    fields: dict[str, Any] = {
        "runtime": model.runtime,
        "model": str(version.pinned) if version else "",
        "content": str(version.content) if version else "",
        "format": version.config.format if version else "",
        "env": values_of(predictor.get("env", []), "env", own_command=bool(predictor.get("command"))),
        "command": tuple(predictor.get("command", ())),
        "probe_path": predictor.get("probePath", ""),
        "cpu": parse_cpu(resources.get("cpu", "")),
        "memory_bytes": parse_memory(resources.get("memory", "")),
        "gpus": int(resources.get("gpu") or 0),
    }
    # With the name: two predictors of one model that swap it with another must not take each other's processes for new.
    identity = json.dumps(fields | {"predictor": predictor["name"]}, sort_keys=True).encode()
    return PredictorWorkload(
        predictor=predictor["name"],
        revision=hashlib.sha256(identity).hexdigest()[:10],
        replicas=predictor.get("replicas", 1),
        signature=version.config.signature if version else None,
        trust=model.trust or Trust.CODE,
        **fields,
    )


def parse_cpu(text: str | int) -> float:
    """Read a Kubernetes quantity of cores: `500m` or `2`; 0 where it is empty."""
    text = str(text)
    if text.endswith("m") and text[:-1].isdecimal():
        return int(text[:-1]) / 1000
    return _number(text, "cpu", {"": 1})


def parse_memory(text: str | int) -> int:
    """Read a Kubernetes quantity of bytes: `512Mi`, `1G`, `1048576`; 0 where it is empty."""
    return int(_number(str(text), "memory", _SUFFIXES))


def _number(text: str, what: str, suffixes: dict[str, int]) -> float:
    if not text:
        return 0
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in suffixes:
        raise InvalidError(violations=(FieldViolation(f"resources.{what}", f"{text!r} is not a quantity"),))
    return float(match[1]) * suffixes[match[2]]
