"""ONNX: inputs, outputs and operators of the graph (onnx.proto). External data is not loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype

from klever.errors import InvalidError
from klever.formats.files import read_only_match
from klever.formats.signature import Signature, Tensor

__all__ = ["external_data", "read_signature"]

_LIMIT = 2 << 30
_MAX_DEPTH = 50
_AT = "location"
_ADVICE = "see that it was copied whole and that onnx.checker.check_model takes it, or export it anew"


def read_signature(model_dir: Path) -> Signature:
    """Read it; symbolic dimensions are -1, initialisers are no inputs, subgraphs and local functions count."""
    path, content = read_only_match(model_dir, "*.onnx", _LIMIT)
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise InvalidError(f"{path.name} is no ONNX model: {error}; {_ADVICE}") from error
    if not model.graph.node and not model.graph.output:
        raise InvalidError(f"{path.name} is no ONNX model: it holds no graph; {_ADVICE}")
    initial = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    layers: Counter[str] = Counter()
    _count(model.graph.node, layers, 0)
    for function in model.functions:
        _count(function.node, layers, 0)
    return Signature(
        inputs=tuple(_tensor(v) for v in model.graph.input if v.name not in initial),
        outputs=tuple(_tensor(v) for v in model.graph.output),
        layers=dict(sorted(layers.items())),
    )


def external_data(path: Path) -> list[str]:
    """Return the files that a model's tensors are in, as the model names them; none for a file that is not ONNX.

    Raises `InvalidError` for a location outside the model directory.
    """
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LIMIT:
        return []
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        return []
    locations = sorted(
        {entry.value for tensor in _tensors(model) for entry in tensor.external_data if entry.key == _AT}
    )
    for location in locations:
        if location.startswith(("/", "\\")) or ".." in PurePath(location.replace("\\", "/")).parts:
            raise InvalidError(
                f"{path.name} reads external data from {location!r}, outside the model directory: save it with its "
                "data beside it",
                reason="UNSAFE_PATH",
            )
    return locations


def _tensors(message: Message) -> Iterator[TensorProto]:
    """Yield every tensor of a model, wherever it is: protobuf bounds the depth of what it parses."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else (value,):
                yield from _tensors(part)


def _tensor(value: ValueInfoProto) -> Tensor:
    if value.type.WhichOneof("value") != "tensor_type":
        return Tensor(_text(value.name), None, _type_name(value.type, 0))
    tensor = value.type.tensor_type
    size = None
    if tensor.HasField("shape"):
        size = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    return Tensor(_text(value.name), size, _dtype(tensor.elem_type))


def _text(value: object) -> str:
    """Return a name; protobuf gives bytes for what is no UTF-8."""
    if not isinstance(value, str):
        raise InvalidError(f"a name in the graph is no UTF-8 text: {value!r}; {_ADVICE}")
    return value


def _dtype(elem_type: int) -> str:
    if elem_type == TensorProto.STRING:
        return "string"
    try:
        return str(np.dtype(tensor_dtype_to_np_dtype(elem_type)).name)
    except (KeyError, ValueError, TypeError):
        return f"onnx({elem_type})"


def _type_name(value: TypeProto, depth: int) -> str:
    """Write a type that is no tensor: `sequence(map(int64,float32))`."""
    kind = value.WhichOneof("value")
    if depth > _MAX_DEPTH or kind is None:
        return "unknown"
    if kind == "tensor_type":
        return _dtype(value.tensor_type.elem_type)
    inner: Any = getattr(value, kind)
    name = kind.removesuffix("_type")
    if kind == "map_type":
        return f"map({_dtype(inner.key_type)},{_type_name(inner.value_type, depth + 1)})"
    if kind in ("sequence_type", "optional_type"):
        return f"{name}({_type_name(inner.elem_type, depth + 1)})"
    return str(name)


def _count(nodes: Iterable[NodeProto], layers: Counter[str], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise InvalidError(f"the graph is nested more than {_MAX_DEPTH} levels deep")
    for node in nodes:
        layers[_text(node.op_type)] += 1
        for attribute in node.attribute:
            for graph in _graphs(attribute):
                _count(graph.node, layers, depth + 1)


def _graphs(attribute: AttributeProto) -> list[GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
