"""TensorFlow SavedModel: signatures and operators of saved_model.pb.

Read with the few fields that are needed of tensorflow/core/protobuf/{saved_model,meta_graph}.proto and
tensorflow/core/framework/{graph,function,node_def,tensor_shape}.proto, declared below by their numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from klever.errors import InvalidError
from klever.formats.files import read_only_match
from klever.formats.signature import Signature, Tensor

__all__ = ["read_signature"]

_LIMIT = 2 << 30
_SERVING = "serving_default"

_Field = descriptor_pb2.FieldDescriptorProto
_SCHEMA: Final[dict[str, tuple[tuple[str, int, str, bool], ...]]] = {
    "Dim": (("size", 1, "int64", False),),
    "Shape": (("dim", 2, "Dim", True), ("unknown_rank", 3, "bool", False)),
    "TensorInfo": (("name", 1, "string", False), ("dtype", 2, "int32", False), ("shape", 3, "Shape", False)),
    "TensorEntry": (("key", 1, "string", False), ("value", 2, "TensorInfo", False)),
    "SignatureDef": (("inputs", 1, "TensorEntry", True), ("outputs", 2, "TensorEntry", True)),
    "SignatureEntry": (("key", 1, "string", False), ("value", 2, "SignatureDef", False)),
    "NodeDef": (("op", 2, "string", False),),
    "FunctionDef": (("node_def", 3, "NodeDef", True),),
    "Library": (("function", 1, "FunctionDef", True),),
    "GraphDef": (("node", 1, "NodeDef", True), ("library", 2, "Library", False)),
    "MetaInfo": (("tags", 4, "string", True),),
    "MetaGraph": (
        ("meta_info_def", 1, "MetaInfo", False),
        ("graph_def", 2, "GraphDef", False),
        ("signature_def", 5, "SignatureEntry", True),
    ),
    "SavedModel": (("meta_graphs", 2, "MetaGraph", True),),
}
"""Message -> its fields: name, number, type, repeated. Maps are read as their repeated entries."""

_DTYPES: Final = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64",
    9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
"""tensorflow/core/framework/types.proto"""


def read_signature(model_dir: Path) -> Signature:
    """Read `serving_default` of the graph tagged `serve`; TF2 keeps its operators in functions: they count too."""
    path, content = read_only_match(model_dir, "saved_model.pb", _LIMIT)
    model = _message_class()()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise InvalidError(f"{path.name} is no SavedModel: {error}") from error
    graphs = [g for g in model.meta_graphs if "serve" in g.meta_info_def.tags]
    if not graphs:
        raise InvalidError(f"{path.name} holds no graph tagged serve")
    signatures = {entry.key: entry.value for entry in graphs[0].signature_def}
    if _SERVING not in signatures:
        there = ", ".join(sorted(signatures)) or "none"
        raise InvalidError(f"{path.name} has no signature {_SERVING}; there are: {there}")
    signature, graph = signatures[_SERVING], graphs[0].graph_def
    layers = Counter(node.op for node in graph.node)
    for function in graph.library.function:  # where TensorFlow 2 has the real work
        layers.update(f"function/{node.op}" for node in function.node_def)
    return Signature(_tensors(signature.inputs), _tensors(signature.outputs), dict(sorted(layers.items())))


def _tensors(entries: Iterable[Any]) -> tuple[Tensor, ...]:
    return tuple(sorted((_tensor(e.key, e.value) for e in entries), key=lambda t: t.name))


def _tensor(name: str, info: Any) -> Tensor:
    dtype = _DTYPES.get(info.dtype, f"tensorflow({info.dtype})")
    if info.shape.unknown_rank or not info.HasField("shape"):
        return Tensor(name, None, dtype)
    return Tensor(name, tuple(d.size for d in info.shape.dim), dtype)


def _message_class() -> Any:
    """Build the messages in a pool of their own, so that nothing collides with a full TensorFlow."""
    file = descriptor_pb2.FileDescriptorProto(name="klever/formats/saved_model.proto", package="klever.formats")
    file.syntax = "proto3"
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if kind in _SCHEMA:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".klever.formats.{kind}"
            else:
                field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("klever.formats.SavedModel"))
