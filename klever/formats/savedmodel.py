"""TensorFlow SavedModel: signatures and operators of saved_model.pb.

The graph is walked in place; only the signature becomes a message. The numbers below are those of
tensorflow/core/protobuf/{saved_model,meta_graph}.proto.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from klever.api.wire import Walk, text
from klever.errors import InvalidError
from klever.formats.checkpoint import count_variables
from klever.formats.details import Details
from klever.formats.files import check_path, map_file, only_match, size_inside
from klever.formats.signature import Signature, Tensor
from klever.formats.tensorflow import count_graph, dtype_name, map_entry

__all__ = ["read_signature"]

_LIMIT: Final = 2 << 30
_MAX_SIGNATURE: Final = 4 << 20
_MAX_TAGS: Final = 100
_MAX_SIGNATURES: Final = 1000
_MAX_WARNING: Final = 500
_SERVING: Final = "serving_default"
_NO_SERVING: Final = frozenset({"__saved_model_init_op", "__saved_model_train_op"})
_VARIABLES: Final = "variables/variables.index"
_MAX_INDEX: Final = 256 << 20

_Field = descriptor_pb2.FieldDescriptorProto
_SCHEMA: Final[dict[str, tuple[tuple[str, int, str, bool], ...]]] = {
    "Dim": (("size", 1, "int64", False),),
    "Shape": (("dim", 2, "Dim", True), ("unknown_rank", 3, "bool", False)),
    "TensorInfo": (("name", 1, "string", False), ("dtype", 2, "int32", False), ("shape", 3, "Shape", False)),
    "TensorEntry": (("key", 1, "string", False), ("value", 2, "TensorInfo", False)),
    "SignatureDef": (("inputs", 1, "TensorEntry", True), ("outputs", 2, "TensorEntry", True)),
}
"""Message -> its fields: name, number, type, repeated. Maps are repeated entries."""

_MODEL_VERSION, _MODEL_GRAPH = 1, 2
_META_INFO, _META_GRAPH, _META_SIGNATURE, _META_ASSET = 1, 2, 5, 6
_INFO_TAG, _INFO_VERSION = 4, 5
_ASSET_FILE: Final = 2


def read_signature(model_dir: Path) -> Signature:
    """Read `serving_default` of the graph tagged `serve`, or its first signature for inference.

    Operators in functions count, too, because TF2 keeps most of them there.
    """
    path = only_match(model_dir, "saved_model.pb", _LIMIT)
    try:
        signature = _read(map_file(path), path.parent)
    except DecodeError as error:
        raise InvalidError(f"{path.name} is not a SavedModel: {error}") from error
    except InvalidError as error:
        raise InvalidError(f"{path.name} is not a SavedModel: {error.message}", reason=error.reason) from error
    return replace(signature, details=_with_variables(signature.details, path.parent))


def _read(model: memoryview, model_dir: Path) -> Signature:
    walk = Walk()
    graph = next((graph for graph in walk.messages(model, _MODEL_GRAPH) if "serve" in _tags(walk, graph)), None)
    if graph is None:
        raise InvalidError("it must have a graph tagged serve")
    for asset in walk.messages(graph, _META_ASSET):
        for file in walk.messages(asset, _ASSET_FILE):
            location = f"assets/{text(file)}"
            check_path(location, "an asset")
            size_inside(model_dir, location, "an asset")
    signatures = _signatures(walk, graph)
    name = _SERVING if _SERVING in signatures else min(signatures)
    signature = _message_class().FromString(bytes(signatures[name]))
    layers: Counter[str] = Counter()
    for definition in walk.messages(graph, _META_GRAPH):
        count_graph(walk, definition, layers)
    return Signature(
        _tensors(signature.inputs),
        _tensors(signature.outputs),
        dict(sorted(layers.items())),
        _details(walk, model, graph, [] if name == _SERVING else [name, *sorted(set(signatures) - {name})]),
    )


def _details(walk: Walk, model: memoryview, graph: memoryview, signatures: list[str]) -> Details:
    """Return the details. `signatures` begins with the one that was read; it is empty for the default."""
    schema = next((value for number, value in walk.fields(model) if number == _MODEL_VERSION), 0)
    versions = [text(v) for info in walk.messages(graph, _META_INFO) for v in walk.messages(info, _INFO_VERSION)]
    others = f", and not {', '.join(signatures[1:])[:_MAX_WARNING]}" if signatures[1:] else ""
    return Details(
        format_version=f"schema {schema}" if isinstance(schema, int) and schema else "",
        producer=f"TensorFlow {versions[0]}" if versions else "",
        warnings=(f"{_SERVING} is missing: Klever uses the signature {signatures[0]}{others}",) if signatures else (),
    )


def _with_variables(details: Details, model_dir: Path) -> Details:
    """Count the variables, if the model has any."""
    index = model_dir / _VARIABLES
    if not os.path.lexists(index):
        return details
    size = size_inside(model_dir, _VARIABLES, "the index of the variables")
    if size > _MAX_INDEX:
        raise InvalidError(f"{_VARIABLES} has {size} bytes; the limit is {_MAX_INDEX}")
    try:
        weights = count_variables(map_file(index))
    except InvalidError as error:
        raise InvalidError(f"{_VARIABLES} is not an index of variables: {error.message}") from error
    return replace(details, parameters=weights.parameters, parameter_bytes=weights.bytes)


def _tags(walk: Walk, graph: memoryview) -> set[str]:
    infos = walk.messages(graph, _META_INFO)
    return {text(tag) for info in infos for tag in islice(walk.messages(info, _INFO_TAG), _MAX_TAGS)}


def _signatures(walk: Walk, graph: memoryview) -> dict[str, memoryview]:
    """Return the SignatureDefs for inference. Raises `InvalidError` if there are none."""
    found: dict[str, memoryview] = {}
    for entry in walk.messages(graph, _META_SIGNATURE):
        name, value = map_entry(walk, entry)
        if name in _NO_SERVING:
            continue
        if len(value) > _MAX_SIGNATURE:
            raise InvalidError(f"the signature {name} must have at most {_MAX_SIGNATURE} bytes, not {len(value)}")
        found[name] = value
        if len(found) > _MAX_SIGNATURES:
            raise InvalidError(f"it must have at most {_MAX_SIGNATURES} signatures")
    if not found:
        raise InvalidError("it has no signature: save the model with signatures")
    return found


def _tensors(entries: Iterable[Any]) -> tuple[Tensor, ...]:
    return tuple(sorted((_tensor(e.key, e.value) for e in entries), key=lambda t: t.name))


def _tensor(name: str, info: Any) -> Tensor:
    dtype = dtype_name(info.dtype)
    if info.shape.unknown_rank or not info.HasField("shape"):
        return Tensor(name, None, dtype)
    return Tensor(name, tuple(d.size for d in info.shape.dim), dtype)


def _message_class() -> Any:
    """Build the messages in a separate pool, to avoid collisions with an installed TensorFlow."""
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
