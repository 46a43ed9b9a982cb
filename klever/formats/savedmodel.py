"""TensorFlow SavedModel: signatures and operators of saved_model.pb.

The graph is walked in place; only the signature becomes a message. The numbers below are those of
tensorflow/core/protobuf/{saved_model,meta_graph}.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from klever.api.wire import Walk, text
from klever.errors import InvalidError
from klever.formats.files import check_path, map_file, only_match, size_inside
from klever.formats.signature import Signature, Tensor
from klever.formats.tensorflow import count_graph, dtype_name, map_entry

__all__ = ["read_signature"]

_LIMIT: Final = 2 << 30
_MAX_SIGNATURE: Final = 4 << 20
_MAX_TAGS: Final = 100
_SERVING: Final = "serving_default"

_Field = descriptor_pb2.FieldDescriptorProto
_SCHEMA: Final[dict[str, tuple[tuple[str, int, str, bool], ...]]] = {
    "Dim": (("size", 1, "int64", False),),
    "Shape": (("dim", 2, "Dim", True), ("unknown_rank", 3, "bool", False)),
    "TensorInfo": (("name", 1, "string", False), ("dtype", 2, "int32", False), ("shape", 3, "Shape", False)),
    "TensorEntry": (("key", 1, "string", False), ("value", 2, "TensorInfo", False)),
    "SignatureDef": (("inputs", 1, "TensorEntry", True), ("outputs", 2, "TensorEntry", True)),
}
"""Message -> its fields: name, number, type, repeated. Maps are read as their repeated entries."""

_MODEL_GRAPH: Final = 2
_META_INFO, _META_GRAPH, _META_SIGNATURE, _META_ASSET = 1, 2, 5, 6
_INFO_TAG: Final = 4
_ASSET_FILE: Final = 2


def read_signature(model_dir: Path) -> Signature:
    """Read `serving_default` of the graph tagged `serve`; TF2 keeps its operators in functions: they count too."""
    path = only_match(model_dir, "saved_model.pb", _LIMIT)
    try:
        return _read(map_file(path), model_dir)
    except DecodeError as error:
        raise InvalidError(f"{path.name} is not a SavedModel: {error}") from error
    except InvalidError as error:
        raise InvalidError(f"{path.name} is not a SavedModel: {error.message}", reason=error.reason) from error


def _read(model: memoryview, model_dir: Path) -> Signature:
    walk = Walk()
    graph = next((graph for graph in walk.messages(model, _MODEL_GRAPH) if "serve" in _tags(walk, graph)), None)
    if graph is None:
        raise InvalidError("it has no graph tagged serve")
    for asset in walk.messages(graph, _META_ASSET):
        for name in walk.messages(asset, _ASSET_FILE):
            location = f"assets/{text(name)}"
            check_path(location, "an asset")
            size_inside(model_dir, location, "an asset")
    signature = _message_class().FromString(bytes(_signature(walk, graph)))
    layers: Counter[str] = Counter()
    for definition in walk.messages(graph, _META_GRAPH):
        count_graph(walk, definition, layers)
    return Signature(_tensors(signature.inputs), _tensors(signature.outputs), dict(sorted(layers.items())))


def _tags(walk: Walk, graph: memoryview) -> set[str]:
    infos = walk.messages(graph, _META_INFO)
    return {text(tag) for info in infos for tag in islice(walk.messages(info, _INFO_TAG), _MAX_TAGS)}


def _signature(walk: Walk, graph: memoryview) -> memoryview:
    """Return the SignatureDef `serving_default`; raises `InvalidError` that names those which there are."""
    names: list[str] = []
    for entry in walk.messages(graph, _META_SIGNATURE):
        name, value = map_entry(walk, entry)
        if name == _SERVING:
            if len(value) > _MAX_SIGNATURE:
                raise InvalidError(
                    f"the signature {_SERVING} has {len(value)} bytes: at most {_MAX_SIGNATURE} are read"
                )
            return value
        if len(names) < _MAX_TAGS:
            names.append(name)
    raise InvalidError(f"it has no signature {_SERVING}, only: {', '.join(sorted(names)) or 'none'}")


def _tensors(entries: Iterable[Any]) -> tuple[Tensor, ...]:
    return tuple(sorted((_tensor(e.key, e.value) for e in entries), key=lambda t: t.name))


def _tensor(name: str, info: Any) -> Tensor:
    dtype = dtype_name(info.dtype)
    if info.shape.unknown_rank or not info.HasField("shape"):
        return Tensor(name, None, dtype)
    return Tensor(name, tuple(d.size for d in info.shape.dim), dtype)


def _message_class() -> Any:
    """Build the messages in a pool of their own, so that nothing collides with a full TensorFlow."""
    file = descriptor_pb2.FileDescriptorProto(name="klever/formats/saved_model.proto", package="klever.formats")
    file.syntax = "proto3"
    for name, members in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated in members:
            field = message.field.add(name=field_name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if kind in _SCHEMA:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".klever.formats.{kind}"
            else:
                field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("klever.formats.SignatureDef"))
