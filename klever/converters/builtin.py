"""Klever's own converters. All are steps of one program; each step is a module of `klever.converters.programs`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from klever.converters import Converter, MemoryNeed
from klever.errors import FieldViolation, InvalidError

__all__ = ["BUILT_IN", "BuiltIn"]

_PROGRAM: Final = Path(__file__).parent / "programs"
_RUNNERS: Final = {
    "ONNX": "onnx_runner",
    "SavedModel": "tensorflow_runner",
    "GraphDef": "tensorflow_runner",
    "H5": "keras_runner",
    "Keras": "keras_runner",
    "TorchScript": "torch_runner",
    "SKLearn": "sklearn_runner",
    "XGBoost": "xgboost_runner",
    "LightGBM": "lightgbm_runner",
}
"""The module that runs a model, by format. Formats without one have no maintained framework."""
_MAX_VARIABLE: Final = 1 << 16
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?(e-?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One pair of formats. `steps` are modules; `tolerance` bounds the relative difference of outputs (float32). It is
    None for a conversion that changes the model's accuracy: the caller decides how much of it may be lost.

    `memory` is from the measurements of bench/conversion.py, with room for half as much again.
    """

    source: str
    target: str
    environment: str
    steps: tuple[str, ...]
    memory: MemoryNeed
    tolerance: float | None = 1e-5
    program: Path = field(default=_PROGRAM)

    def check(self, env: Mapping[str, str]) -> None:
        """Raise `InvalidError` if INPUTS is not a list of tensors or TOLERANCE is not a number."""
        text = env.get("INPUTS", "")
        if text and not _is_list(text):
            message = 'must be a JSON list such as [{"name": "data", "dType": "float32", "size": [-1, 3, 224, 224]}]'
            raise InvalidError(violations=(FieldViolation("spec.env[INPUTS]", message),))
        if env.get("TOLERANCE") and not _NUMBER.fullmatch(env["TOLERANCE"]):
            raise InvalidError(violations=(FieldViolation("spec.env[TOLERANCE]", "must be a number such as 1e-4"),))

    @property
    def options(self) -> Mapping[str, Any]:
        """Return the program's options: its steps, and how to run both models."""
        runner, target = _RUNNERS.get(self.source, ""), _RUNNERS.get(self.target, "")
        missing = " and ".join(name for name, found in ((self.source, runner), (self.target, target)) if not found)
        return {
            "steps": list(self.steps),
            "runner": runner,
            "target_runner": target,
            "tolerance": self.tolerance,
            "lossy": self.tolerance is None,
            "not_compared": f"no maintained framework runs {missing} models" if missing else "",
        }

    def then(self, following: BuiltIn) -> BuiltIn:
        """Return the converter that runs the steps of both in the same environment."""
        return replace(
            self,
            target=following.target,
            steps=self.steps + following.steps,
            memory=self.memory.together(following.memory),
            tolerance=_looser(self.tolerance, following.tolerance),
        )


def _looser(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def _is_list(text: str) -> bool:
    try:
        document = json.loads(text) if len(text) <= _MAX_VARIABLE else None
    except (ValueError, RecursionError):
        return False
    return isinstance(document, list) and all(isinstance(one, dict) and one.get("name") for one in document)


_NETWORKS: Final = MemoryNeed(256 << 20, 12)
_TENSORFLOW: Final = MemoryNeed(3 << 30, 32)
_TORCH: Final = MemoryNeed(768 << 20, 7)
_TABLES: Final = MemoryNeed(512 << 20, 50)

_PAIRS: Final = (
    BuiltIn("MXNetParams", "ONNX", "onnx", ("mxnet_onnx",), _NETWORKS),
    BuiltIn("CaffeModel", "NetDef", "onnx", ("caffe_netdef",), _NETWORKS),
    BuiltIn("NetDef", "ONNX", "onnx", ("netdef_onnx",), _NETWORKS),
    BuiltIn("ONNX", "ONNX", "onnx", ("onnx_int8",), _NETWORKS, tolerance=None),
    BuiltIn("SavedModel", "ONNX", "tensorflow", ("savedmodel_onnx",), _TENSORFLOW),
    BuiltIn("GraphDef", "ONNX", "tensorflow", ("graphdef_onnx",), _TENSORFLOW),
    BuiltIn("H5", "SavedModel", "tensorflow", ("keras_savedmodel",), _TENSORFLOW),
    BuiltIn("Keras", "SavedModel", "tensorflow", ("keras_savedmodel",), _TENSORFLOW),
    BuiltIn("TorchScript", "ONNX", "torch", ("torchscript_onnx",), _TORCH),
    BuiltIn("SKLearn", "ONNX", "tabular-onnx", ("sklearn_onnx",), _TABLES),
    BuiltIn("XGBoost", "ONNX", "tabular-onnx", ("xgboost_onnx",), _TABLES),
    BuiltIn("LightGBM", "ONNX", "tabular-onnx", ("lightgbm_onnx",), _TABLES),
)


def _chained(pairs: tuple[BuiltIn, ...]) -> Mapping[tuple[str, str], BuiltIn]:
    """Return the pairs by source and target, including combinations of two pairs with the same environment."""
    chains = (
        first.then(second)
        for first in pairs
        for second in pairs
        if first.target == second.source != first.source
        and first.environment == second.environment
        and second.source != second.target
    )
    return {(one.source, one.target): one for one in (*chains, *pairs)}


BUILT_IN: Final[Mapping[tuple[str, str], Converter | str]] = {**_chained(_PAIRS)}
