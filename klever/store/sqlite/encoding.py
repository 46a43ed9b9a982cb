"""Objects as bytes. Encoded state takes a tenth of the memory, and no caller can modify it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import orjson

from klever.api.kinds import Object
from klever.errors import InvalidError
from klever.store.meta import deleting

__all__ = ["MAX_BYTES", "Encoded", "copied", "decode", "encode", "is_deleting"]

_DELETING = b'"deletionTimestamp"'

MAX_BYTES = 1536 * 1024
"""The largest object: etcd's limit."""


def encode(obj: Object) -> bytes:
    """Return an object as compact JSON. Raises `InvalidError` if it is not valid JSON or is too large."""
    try:
        data = orjson.dumps(obj)
    except TypeError as error:  # orjson's own errors are TypeErrors
        raise InvalidError(f"the object is not valid JSON: {error}") from error
    if len(data) > MAX_BYTES:
        raise InvalidError(f"the object has {len(data)} bytes; the limit is {MAX_BYTES}", reason="TOO_LARGE")
    return data


def decode(data: bytes) -> Object:
    obj: Object = orjson.loads(data)
    return obj


def is_deleting(data: bytes) -> bool:
    """Whether an object is being deleted. Most objects need no decoding for this."""
    return _DELETING in data and deleting(decode(data))


class Encoded(Sequence[Object]):
    """Objects that each access decodes anew, so that every caller gets its own copy."""

    def __init__(self, data: Sequence[bytes]) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    @overload
    def __getitem__(self, index: int) -> Object: ...
    @overload
    def __getitem__(self, index: slice) -> Encoded: ...
    def __getitem__(self, index: int | slice) -> Object | Encoded:
        return Encoded(self._data[index]) if isinstance(index, slice) else decode(self._data[index])

    def __iter__(self) -> Iterator[Object]:
        return map(decode, self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self._data))


def copied(obj: Object) -> Object:
    """Return a private copy of a caller's object. Raises `InvalidError` as `encode` does."""
    if not isinstance(obj, dict):
        raise InvalidError(f"expected an object, not {type(obj).__name__}")
    return decode(encode(obj))
