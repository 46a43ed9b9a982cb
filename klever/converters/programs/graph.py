"""Builds an ONNX model node by node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import Tensor

__all__ = ["Graph"]

OPSET: Final = 19
"""From 19 on, ONNX defines how a pool with ceil_mode treats its last window, which Caffe and MXNet need."""
_IR_VERSION: Final = 9
_MAX_FILE: Final = 1_900_000_000
"""A protobuf message has at most 2 GiB: weights of a larger model go into a separate file."""


class Graph:
    """An ONNX graph under construction. Values are names, each written once."""

    def __init__(self, name: str, inputs: Iterable[Tensor]) -> None:
        self._name = name
        self._inputs = tuple(inputs)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._taken = {tensor.name for tensor in self._inputs}
        self._types = {t.name: helper.make_tensor_type_proto(t.element, t.dims()) for t in self._inputs}

    def constant(self, array: NDArray[Any], name: str = "constant") -> str:
        """Add a constant and return its name, which is `name` if no other value has it."""
        name = self._free(name)
        tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self._constants[name] = tensor
        self._types[name] = helper.make_tensor_type_proto(tensor.data_type, array.shape)
        return name

    def rank(self, value: str) -> int:
        """Return the number of dimensions of a value. Raises `ConversionError` if it is unknown."""
        kind = self._types.get(value)
        if kind is None or not kind.tensor_type.HasField("shape"):
            raise ConversionError(f"the number of dimensions of {value!r} is unknown")
        return len(kind.tensor_type.shape.dim)

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the name of its output."""
        return self.split(op, *inputs, names=(name,), **attributes)[0]

    def split(self, op: str, *inputs: str, names: Iterable[str], **attributes: Any) -> list[str]:
        """Add a node with an output for each of `names`, and return the outputs' names."""
        outputs = [self._free(name or op.lower()) for name in names]
        given = {key: value for key, value in attributes.items() if value is not None}
        node = helper.make_node(op, list(inputs), outputs, name=outputs[0], **given)
        self._types |= self._inferred(node)
        self._nodes.append(node)
        return outputs

    def _inferred(self, node: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        """Return the types of a node's outputs. Raises `ConversionError` that names the node if ONNX forbids it."""
        schema = onnx.defs.get_schema(node.op_type, OPSET)
        types = {name: self._types[name] for name in node.input if name in self._types}
        data = {name: self._constants[name] for name in node.input if self._is_shape(name)}
        opset = [helper.make_opsetid("", OPSET)]
        try:
            return onnx.shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=opset)
        except onnx.shape_inference.InferenceError as error:
            raise ConversionError(f"{node.op_type} that writes {node.output[0]!r}: {error}") from error

    def save(self, path: Path, outputs: Mapping[str, str]) -> None:
        """Check the model and write it. `outputs` maps the names of the model's outputs to values.

        Raises `ConversionError` if the graph is not valid ONNX.
        """
        for name, value in outputs.items():
            if name != value:
                if name in self._taken:
                    raise ConversionError(f"the output {name!r} has the name of another tensor: rename one of them")
                self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(t.name, t.element, t.dims()) for t in self._inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            list(self._constants.values()),
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, producer_name="klever", opset_imports=[opset], ir_version=_IR_VERSION)
        _write(_typed(model), path)

    def _is_shape(self, name: str) -> bool:
        """Whether a value is a constant that may determine the shape of another."""
        constant = self._constants.get(name)
        return constant is not None and constant.data_type == TensorProto.INT64 and len(constant.dims) == 1

    def _free(self, name: str) -> str:
        free, number = name, 0
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken.add(free)
        return free


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the types and shapes of its outputs, as inferred."""
    for output in model.graph.output:
        output.type.Clear()
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ConversionError(f"the converted graph is not valid ONNX: {error}") from error
    return inferred


def _write(model: onnx.ModelProto, path: Path) -> None:
    large = model.ByteSize() > _MAX_FILE
    onnx.save_model(model, path, save_as_external_data=large, location=f"{path.name}.data")
