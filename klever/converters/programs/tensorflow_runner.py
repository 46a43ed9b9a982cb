"""Runs SavedModels and frozen graphs with TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras  # registers the classes that SavedModels of Keras 2 need
from numpy.typing import NDArray

from klever.converters.programs.compare import Feeds, Runner
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import Tensor

__all__ = ["graph_tensors", "load", "signature_key"]

_SIGNATURE = "serving_default"
_KERAS = tf_keras.__version__


def load(model: Path, request: Mapping[str, Any]) -> tuple[Runner, list[Tensor]]:
    """Return a runner of a directory's SavedModel or *.graphdef, and its inputs. Raises `ConversionError`."""
    graphs = list(model.glob("*.graphdef"))
    function, inputs = _graph(graphs[0]) if graphs else _saved_model(model)

    def run(feeds: Feeds) -> dict[str, NDArray[Any]]:
        try:
            results = function({tensor.name: tf.constant(feeds[tensor.name]) for tensor in inputs})
        except tf.errors.OpError as error:
            raise ConversionError(f"TensorFlow cannot run the model: {error.message}") from error
        return {name: np.asarray(value) for name, value in results.items()}

    return run, inputs


def signature_key(signatures: Mapping[str, Any]) -> str:
    """Return the served signature: `serving_default`, or the only one. Raises `ConversionError`."""
    names = [name for name in signatures if not name.startswith("__saved_model")]
    if _SIGNATURE in names or len(names) == 1:
        return _SIGNATURE if _SIGNATURE in names else names[0]
    raise ConversionError(
        f"the SavedModel has the signatures {names}, but not {_SIGNATURE}: export it with {_SIGNATURE}"
    )


def graph_tensors(graph: Any) -> tuple[list[Tensor], list[str]]:
    """Return the inputs and output names of a GraphDef: its placeholders, and the nodes that no node reads."""
    read = {source.partition(":")[0].lstrip("^") for node in graph.node for source in node.input}
    inputs = [_placeholder(node) for node in graph.node if node.op == "Placeholder"]
    outputs = [
        n.name for n in graph.node if n.name not in read and n.op not in ("Placeholder", "NoOp", "Const", "Assert")
    ]
    return inputs, outputs


def _saved_model(model: Path) -> tuple[Any, list[Tensor]]:
    loaded = tf.saved_model.load(str(model))
    function = loaded.signatures[signature_key(loaded.signatures)]
    specs: Mapping[str, Any] = function.structured_input_signature[1]
    inputs = [Tensor(name, _size(spec.shape), _dtype(spec.dtype)) for name, spec in sorted(specs.items())]

    def run(feeds: Mapping[str, Any]) -> Any:
        return function(**{name: tf.cast(value, specs[name].dtype) for name, value in feeds.items()})

    run.loaded = loaded  # type: ignore[attr-defined]  # a signature lives as long as what it was loaded from
    return run, inputs


def _graph(path: Path) -> tuple[Any, list[Tensor]]:
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    inputs, outputs = graph_tensors(graph)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    pruned = wrapped.prune(_named(wrapped, [tensor.name for tensor in inputs]), _named(wrapped, outputs))

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        return dict(zip(outputs, pruned(*(feeds[tensor.name] for tensor in inputs)), strict=True))

    return run, inputs


def _named(wrapped: Any, names: Sequence[str]) -> list[Any]:
    return [wrapped.graph.get_tensor_by_name(f"{name}:0") for name in names]


def _placeholder(node: Any) -> Tensor:
    shape = node.attr["shape"].shape
    size = None if "shape" not in node.attr or shape.unknown_rank else tuple(dim.size for dim in shape.dim)
    return Tensor(node.name, size, _dtype(tf.as_dtype(node.attr["dtype"].type)))


def _size(shape: Any) -> tuple[int, ...] | None:
    return None if shape.rank is None else tuple(-1 if dim is None else dim for dim in shape)


def _dtype(dtype: Any) -> str:
    name: str = dtype.base_dtype.name
    return name
