"""Loads SavedModels and frozen graphs. It stands alone: Triton's Python backend runs it, too."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

__all__ = ["SERVING", "TensorFlowModel", "load_graph", "load_saved_model", "serving_graph", "signature_key"]

SERVING: Final = "serving_default"
_TAG: Final = "serve"


class TensorFlowModel:
    """`function` takes the inputs as keyword arguments; `inputs` and `outputs` are tf.TensorSpecs by name."""

    def __init__(self, function: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any], owner: Any = None) -> None:
        self.function = function
        self.inputs = inputs
        self.outputs = outputs
        self._owner = owner  # a signature lives as long as what it was loaded from

    def call(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the outputs by name, for inputs by name."""
        results: Mapping[str, Any] = self.function(**{name: tf.constant(values[name]) for name in self.inputs})
        return results


def load_saved_model(path: Path, inputs: Collection[str] = (), outputs: Collection[str] = ()) -> TensorFlowModel:
    """Return the signature of a SavedModel that has these inputs and outputs. Raises `ValueError` as `signature_key`.

    It raises whatever TensorFlow does.
    """
    import tf_keras  # noqa: F401, PLC0415 - registers what SavedModels of Keras 2 need when they are loaded

    graph = serving_graph(path)
    key = signature_key(graph.signature_def, inputs, outputs)
    loaded = tf.saved_model.load(str(path), tags=list(graph.meta_info_def.tags))
    function = loaded.signatures[key]
    return TensorFlowModel(function, function.structured_input_signature[1], function.structured_outputs, loaded)


def serving_graph(path: Path) -> Any:
    """Return the first MetaGraphDef with the tag `serve`; raises `ValueError` if there is none."""
    for graph in SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs:
        if _TAG in graph.meta_info_def.tags:
            return graph
    raise ValueError(f"saved_model.pb has no graph with the tag {_TAG!r}")


def signature_key(signatures: Mapping[str, Any], inputs: Collection[str], outputs: Collection[str]) -> str:
    """Return the signature that has these inputs, and these outputs among its own.

    `serving_default` comes first. If none fits, it is `serving_default`, or the only one. Raises `ValueError` if the
    SavedModel has several signatures, and none of them is the one.
    """
    names = sorted((name for name in signatures if not name.startswith("__saved_model")), key=lambda n: n != SERVING)
    for name in names:
        if outputs and set(signatures[name].inputs) == set(inputs) and set(outputs) <= set(signatures[name].outputs):
            return name
    if SERVING in names or len(names) == 1:
        return names[0]
    raise ValueError(
        f"the SavedModel has the signatures {', '.join(names)}: name the inputs and outputs of one of them in the "
        "signature of ormbfile.yaml"
    )


def load_graph(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> TensorFlowModel:
    """Return a frozen graph as a function of some of its nodes. It raises whatever TensorFlow does."""
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    given, returned = ({name: _tensor(wrapped.graph, name) for name in names} for names in (inputs, outputs))
    pruned = wrapped.prune(list(given.values()), returned)

    def function(**values: Any) -> Any:
        return pruned(*(values[name] for name in given))

    return TensorFlowModel(function, given, returned)


def _tensor(graph: Any, name: str) -> Any:
    """Return the first output of a node, or the one that the name says: `node:1`."""
    return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
