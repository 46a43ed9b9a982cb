"""Objects with every field set: as messages and back they stay what they are, and so does every store keep them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from klever.api.codec import from_object, to_object
from klever.api.kinds import KINDS, NAMESPACE, Kind, Object
from klever.store import Key, Store

__all__ = ["CodecContract"]

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))


def golden_object(name: str) -> Object:
    obj: Object = json.loads((GOLDEN / f"{name}.json").read_text())
    return obj


def find_kind(obj: Object) -> Kind:
    return next(kind for kind in KINDS if (kind.api_version, kind.kind) == (obj["apiVersion"], obj["kind"]))


def to_proto(obj: Object) -> Message:
    message = find_kind(obj).message
    assert message is not None
    return from_object(obj, message, strict=True)


def fields_set(message: Message) -> Iterator[FieldDescriptor]:
    """Every field that is set, here and below; what Structs hold is theirs."""
    for field, value in message.ListFields():
        yield field
        if field.message_type is None or field.message_type.full_name.startswith("google.protobuf."):
            continue
        if not field.message_type.GetOptions().map_entry:
            for item in value if field.is_repeated else [value]:
                yield from fields_set(item)


@pytest.mark.parametrize("name", NAMES)
def test_a_message_keeps_everything(name: str) -> None:
    obj = golden_object(name)
    message = to_proto(obj)
    assert to_object(message) == obj
    assert to_object(type(message).FromString(message.SerializeToString())) == obj


def test_every_field_of_a_spec_and_a_status_is_shown() -> None:
    seen: set[FieldDescriptor] = set()
    for name in NAMES:
        message = to_proto(golden_object(name))
        for part in ("spec", "status"):
            if part in message.DESCRIPTOR.fields_by_name:
                seen |= set(fields_set(getattr(message, part)))
    for message_type in {field.containing_type for field in seen if field.containing_type is not None}:
        shown = {field.name for field in seen if field.containing_type is message_type}
        assert shown == {field.name for field in message_type.fields}, message_type.full_name


class CodecContract:
    @pytest.mark.parametrize("name", NAMES)
    async def test_it_comes_back_equal(self, store: Store, name: str) -> None:
        namespace = f"t-{uuid.uuid4().hex[:10]}"
        await store.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        wanted = golden_object(name)
        kind = find_kind(wanted)
        key = Key(namespace if kind.namespaced else "", wanted["metadata"]["name"])
        given = json.loads(json.dumps(wanted))
        if kind.namespaced:
            given["metadata"]["namespace"] = namespace
        await store.create(kind, given)
        if "status" in wanted:
            await store.patch(kind, key, {"status": wanted["status"]}, subresource="status")
        found = to_object(message_of_stored(await store.get(kind, key)))
        metadata = {field: found["metadata"][field] for field in wanted["metadata"]}
        assert found | {"metadata": metadata} == wanted
        await store.patch(kind, key, {"metadata": {"finalizers": None}})
        await store.delete(kind, key)


def message_of_stored(obj: Object) -> Message:
    """A stored object may have fields of its store's own."""
    message = find_kind(obj).message
    assert message is not None
    return from_object(obj, message)
