"""The common parts of tabular models: their inputs, and the outputs of their ONNX models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import TensorProto, helper

from klever.converters.programs.compare import Feeds
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import Tensor, signature

__all__ = ["OPSETS", "check_features", "columns", "only_file", "rows", "write"]

OPSETS: Final = {"": 18, "ai.onnx.ml": 3}
_MAX_FEATURES: Final = 1_000_000
_INPUT: Final = "x"


def only_file(model: Path) -> Path:
    """Return the model's only file. Raises `ConversionError`."""
    files = [path for path in model.iterdir() if path.is_file() and not path.name.startswith(".")]
    if len(files) != 1:
        raise ConversionError(
            f"the model must be one file, not {len(files)}: {', '.join(sorted(p.name for p in files))}"
        )
    return files[0]


def check_features(count: int) -> None:
    """Raise `ConversionError` for a number of features that only a damaged model has."""
    if not 0 <= count <= _MAX_FEATURES:
        raise ConversionError(f"the model has {count} features, and at most {_MAX_FEATURES} are supported")


def columns(request: Mapping[str, Any], features: int) -> list[Tensor]:
    """Return the inputs of the signature, or one input of all features."""
    return signature(request, "inputs") or [Tensor(_INPUT, (-1, features), "float32")]


def rows(feeds: Feeds) -> Any:
    """Return the only input as an array, or several inputs as the columns of a DataFrame."""
    if len(feeds) == 1:
        return next(iter(feeds.values()))
    import pandas as pd  # noqa: PLC0415 - models without named columns need none

    return pd.DataFrame({name: value.reshape(-1) for name, value in feeds.items()})


def write(
    model: onnx.ModelProto,
    path: Path,
    outputs: Mapping[str, str],
    *,
    positive: Sequence[str] = (),
    vectors: Sequence[str] = (),
) -> None:
    """Write a model with only these outputs (old name -> new name).

    Outputs in `positive` keep only the probability of the second class, like the predictions of the frameworks for two
    classes. Outputs in `vectors` become vectors.
    """
    graph = model.graph
    kept = {value.name: value for value in graph.output}
    del graph.output[:]
    for old, new in outputs.items():
        if old not in kept:
            raise ConversionError(f"the converted model lacks the output {old!r}; it has {', '.join(kept)}")
        if old in positive:
            graph.initializer.append(helper.make_tensor(f"{new}_column", TensorProto.INT64, [], [1]))
            graph.node.append(helper.make_node("Gather", [old, f"{new}_column"], [new], name=new, axis=1))
            graph.output.append(helper.make_tensor_value_info(new, TensorProto.FLOAT, [None]))
        elif old in vectors:
            graph.initializer.append(helper.make_tensor(f"{new}_shape", TensorProto.INT64, [1], [-1]))
            graph.node.append(helper.make_node("Reshape", [old, f"{new}_shape"], [new], name=new))
            element = kept[old].type.tensor_type.elem_type
            graph.output.append(helper.make_tensor_value_info(new, element, [None]))
        else:
            graph.node.append(helper.make_node("Identity", [old], [new], name=new))
            graph.output.append(helper.make_value_info(new, kept[old].type))
    if all(opset.domain for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", OPSETS[""]))
    onnx.checker.check_model(model)
    onnx.save_model(model, path)
