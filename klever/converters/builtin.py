"""Klever's own converters. All are steps of one program; each step is a module of `klever.converters.programs`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from klever.converters import Converter
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
"""The module that runs a model of a format. A format without one has no maintained framework."""
_MAX_VARIABLE: Final = 1 << 16
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?(e-?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One pair of formats. `steps` are modules; `tolerance` bounds the relative difference of outputs (float32)."""

    source: str
    target: str
    environment: str
    steps: tuple[str, ...]
    tolerance: float = 1e-5
    program: Path = field(default=_PROGRAM)

    def check(self, env: Mapping[str, str]) -> None:
        """Raise `InvalidError` for INPUTS that is not a list of tensors, and for TOLERANCE that is not a number."""
        text = env.get("INPUTS", "")
        if text and not _is_list(text):
            message = 'must be a JSON list such as [{"name": "data", "dType": "float32", "size": [-1, 3, 224, 224]}]'
            raise InvalidError(violations=(FieldViolation("spec.env[INPUTS]", message),))
        if env.get("TOLERANCE") and not _NUMBER.fullmatch(env["TOLERANCE"]):
            raise InvalidError(violations=(FieldViolation("spec.env[TOLERANCE]", "must be a number such as 1e-4"),))

    @property
    def options(self) -> Mapping[str, Any]:
        """What the program needs to know: its steps, and how to run both models."""
        runner, target = _RUNNERS.get(self.source, ""), _RUNNERS.get(self.target, "")
        missing = " and ".join(name for name, found in ((self.source, runner), (self.target, target)) if not found)
        return {
            "steps": list(self.steps),
            "runner": runner,
            "target_runner": target,
            "tolerance": self.tolerance,
            "not_compared": f"no maintained framework runs {missing} models" if missing else "",
        }

    def then(self, following: BuiltIn) -> BuiltIn:
        """Return the converter that runs the steps of both, in the same environment."""
        return replace(
            self,
            target=following.target,
            steps=self.steps + following.steps,
            tolerance=max(self.tolerance, following.tolerance),
        )


def _is_list(text: str) -> bool:
    try:
        document = json.loads(text) if len(text) <= _MAX_VARIABLE else None
    except (ValueError, RecursionError):
        return False
    return isinstance(document, list) and all(isinstance(one, dict) and one.get("name") for one in document)


_PAIRS: Final = (
    BuiltIn("MXNetParams", "ONNX", "onnx", ("mxnet_onnx",)),
    BuiltIn("CaffeModel", "NetDef", "onnx", ("caffe_netdef",)),
    BuiltIn("NetDef", "ONNX", "onnx", ("netdef_onnx",)),
    BuiltIn("ONNX", "ONNX", "onnx", ("onnx_int8",), tolerance=0.1),
    BuiltIn("SavedModel", "ONNX", "tensorflow", ("savedmodel_onnx",)),
    BuiltIn("GraphDef", "ONNX", "tensorflow", ("graphdef_onnx",)),
    BuiltIn("H5", "SavedModel", "tensorflow", ("keras_savedmodel",)),
    BuiltIn("Keras", "SavedModel", "tensorflow", ("keras_savedmodel",)),
    BuiltIn("TorchScript", "ONNX", "torch", ("torchscript_onnx",)),
    BuiltIn("SKLearn", "ONNX", "tabular-onnx", ("sklearn_onnx",)),
    BuiltIn("XGBoost", "ONNX", "tabular-onnx", ("xgboost_onnx",)),
    BuiltIn("LightGBM", "ONNX", "tabular-onnx", ("lightgbm_onnx",)),
)


def _chained(pairs: tuple[BuiltIn, ...]) -> Mapping[tuple[str, str], BuiltIn]:
    """Return the pairs by source and target, with the pairs that two of them make in the same environment."""
    chains = (
        first.then(second)
        for first in pairs
        for second in pairs
        if first.target == second.source != first.source
        and first.environment == second.environment
        and second.source != second.target
    )
    return {(one.source, one.target): one for one in (*chains, *pairs)}


BUILT_IN: Final[Mapping[tuple[str, str], Converter | str]] = _chained(_PAIRS)
