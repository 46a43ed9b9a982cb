"""Runs SavedModels and frozen graphs with TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from klever.converters.programs.compare import Feeds, Runner
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.files import only_match
from klever.converters.programs.tensorflow_models import load_graph, load_saved_model
from klever.converters.programs.tensors import Tensor, signature

__all__ = ["graph_tensors", "load"]


def load(model: Path, request: Mapping[str, Any]) -> tuple[Runner, list[Tensor]]:
    """Return a runner of a directory's SavedModel or frozen graph, and its inputs. Raises `ConversionError`."""
    saved = (model / "saved_model.pb").exists()
    try:
        loaded = (
            load_saved_model(model, *names(request))
            if saved
            else _load_graph(only_match(model, "*.graphdef|*.pb"), request)
        )
    except (tf.errors.OpError, ValueError, KeyError, OSError) as error:
        raise ConversionError(f"TensorFlow cannot load the model: {error}") from error
    inputs = [Tensor(name, _size(spec.shape), _dtype(spec.dtype)) for name, spec in sorted(loaded.inputs.items())]

    def run(feeds: Feeds) -> dict[str, NDArray[Any]]:
        try:
            results = loaded.call(feeds)
        except tf.errors.OpError as error:
            raise ConversionError(f"TensorFlow cannot run the model: {error.message}") from error
        return {name: _array(value) for name, value in results.items()}

    return run, inputs


def names(request: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the names of the inputs and outputs in the model's signature."""
    inputs, outputs = ([tensor.name for tensor in signature(request, side)] for side in ("inputs", "outputs"))
    return inputs, outputs


def graph_tensors(graph: Any, request: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the inputs and outputs of a GraphDef: placeholders, and what no node reads.

    A signature whose names are all nodes counts before that.
    """
    inputs, outputs = names(request)
    nodes = {node.name for node in graph.node}
    if inputs and outputs and all(name.partition(":")[0] in nodes for name in (*inputs, *outputs)):
        return inputs, outputs
    read = {source.partition(":")[0].lstrip("^") for node in graph.node for source in node.input}
    ends = (node.name for node in graph.node if node.op not in ("Placeholder", "NoOp", "Const", "Assert"))
    return (
        [node.name for node in graph.node if node.op == "Placeholder"],
        [name for name in ends if name not in read],
    )


def _load_graph(path: Path, request: Mapping[str, Any]) -> Any:
    return load_graph(path, *graph_tensors(tf.compat.v1.GraphDef.FromString(path.read_bytes()), request))


def _array(value: Any) -> NDArray[Any]:
    """Return the values; strings as text, as ONNX Runtime returns them."""
    array = np.asarray(value)
    if array.dtype.kind not in "OS":
        return array
    return np.array([item.decode(errors="replace") for item in array.ravel()], object).reshape(array.shape)


def _size(shape: Any) -> tuple[int, ...] | None:
    return None if shape.rank is None else tuple(-1 if dim is None else dim for dim in shape)


def _dtype(dtype: Any) -> str:
    name: str = dtype.base_dtype.name
    return name
