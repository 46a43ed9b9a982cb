"""TensorFlow's index of variables: a table of keys and BundleEntryProtos, sorted by key.

Sources: leveldb's doc/table_format.md, and TensorFlow's util/tensor_bundle and protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from klever.api.wire import Walk, content, varint
from klever.errors import InvalidError
from klever.formats.tensorflow import dtype_bits, read_shape
from klever.formats.weights import Weights

__all__ = ["count_variables"]

_FOOTER: Final = 48
_MAGIC: Final = 0xDB4775248B80FB57
_MAX_ENTRIES: Final = 1_000_000
_MAX_KEY: Final = 4096
_ENTRY_TYPE, _ENTRY_SHAPE, _ENTRY_SIZE = 1, 2, 5
_OPTIMIZER: Final = b"/.OPTIMIZER_SLOT/"
_INTEGERS: Final = frozenset({3, 9})
"""DT_INT32 and DT_INT64: a scalar of one is a counter of steps, not a weight."""


def count_variables(index: memoryview) -> Weights:
    """Count the variables in an index, without the state of an optimizer. Raises `InvalidError`."""
    if len(index) < _FOOTER or struct.unpack("<Q", index[-8:])[0] != _MAGIC:
        raise InvalidError("it is not a table of variables, or it is truncated")
    _, at = _handle(index, len(index) - _FOOTER)
    (start, size), _ = _handle(index, at)
    walk, weights = Walk(), Weights()
    left = _MAX_ENTRIES
    for _, value in _entries(_block(index, start, size)):
        (start, size), _ = _handle(value, 0)
        for key, entry in _entries(_block(index, start, size)):
            left -= 1
            if left < 0:
                raise InvalidError(f"it lists more than {_MAX_ENTRIES} variables")
            if key and _OPTIMIZER not in key:  # the header has an empty key
                _count(walk, entry, weights)
    return weights


def _count(walk: Walk, entry: memoryview, weights: Weights) -> None:
    kind, size, scalar = 0, 0, True
    for number, value in walk.fields(entry):
        if number == _ENTRY_SHAPE:
            scalar = read_shape(walk, content(number, value)) == ()
        elif number == _ENTRY_TYPE and isinstance(value, int):
            kind = value
        elif number == _ENTRY_SIZE and isinstance(value, int):
            size = value
    bits = dtype_bits(kind)
    if bits and not (scalar and kind in _INTEGERS):
        weights.add_bytes(size * 8 // bits, size)


def _handle(message: memoryview, at: int) -> tuple[tuple[int, int], int]:
    """Return the offset and size of a block, and the position after them."""
    offset, at = varint(message, at)
    size, at = varint(message, at)
    return (offset, size), at


def _block(index: memoryview, start: int, size: int) -> memoryview:
    """Return the entries of a block, without its restart points. The byte after the block states its compression."""
    if start + size >= len(index):
        raise InvalidError(f"the block at byte {start} extends beyond the file")
    if index[start + size]:
        raise InvalidError(f"the block at byte {start} is compressed, which is not supported")
    block = index[start : start + size]
    restarts = 4 * (struct.unpack("<I", block[-4:])[0] + 1) if size >= 4 else 0
    if not 0 < restarts <= size:
        raise InvalidError(f"the block at byte {start} is damaged")
    return block[:-restarts]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield key and value of each entry. A key shares a prefix with the previous key."""
    key, at = b"", 0
    while at < len(block):
        shared, at = varint(block, at)
        rest, at = varint(block, at)
        size, at = varint(block, at)
        if shared + rest > _MAX_KEY:
            raise InvalidError(f"the name of a variable has more than {_MAX_KEY} bytes")
        if shared > len(key) or at + rest + size > len(block):
            raise InvalidError("a variable extends beyond its block")
        key = key[:shared] + bytes(block[at : at + rest])
        yield key, block[at + rest : at + rest + size]
        at += rest + size
