"""Counts the datasets of an HDF5 file, the weights of a Keras model, without reading them.

Source: "HDF5 File Format Specification Version 3.0" (The HDF Group): B-trees III.A.1, symbol tables III.B and III.C,
local heaps III.D, dataspace message IV.A.2.b, datatype message IV.A.2.d, link message IV.A.2.g, symbol table message
IV.A.2.r.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from klever.formats.hdf5_objects import UNDEFINED, Source, UnreadableError, messages, read, root, unpack
from klever.formats.weights import Weights, elements

__all__ = ["count_datasets"]

_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _SYMBOL_TABLE = 0x01, 0x02, 0x03, 0x06, 0x11
_INTEGER, _FLOAT = 0, 1
_MAX_OBJECTS: Final = 200_000
_MAX_NAME: Final = 1024
_MAX_NODES: Final = 20_000
_MAX_CHILDREN: Final = 1024
_MAX_DEPTH: Final = 8
"""The most nodes of a B-tree, whose nodes have at least 32 children."""
_ENTRY: Final = 40
_OPTIMIZER: Final = frozenset((b"optimizer_weights", b"optimizer"))


def count_datasets(file: Source) -> Weights:
    """Count the numbers in all datasets except an optimizer's. Raises `UnreadableError` for unsupported features."""
    weights = Weights()
    try:
        waiting, seen = [root(file)], set[int]()
        while waiting:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MAX_OBJECTS:
                raise UnreadableError(f"it has more than {_MAX_OBJECTS} objects")
            waiting += _object(file, address, weights)
    except (struct.error, IndexError) as error:
        raise UnreadableError(f"it is damaged: {error}") from error
    return weights


def _object(file: Source, address: int, weights: Weights) -> list[int]:
    """Count a dataset, or return the objects of a group."""
    members: list[int] = []
    shape: tuple[int, ...] | None = None
    size = 0
    for message in messages(file, address):
        if message.kind == _DATASPACE:
            shape = _shape(message.content)
        elif message.kind == _DATATYPE and message.content[0] & 0x0F in (_INTEGER, _FLOAT):
            (size,) = unpack("I", message.content, 4)
        elif message.kind == _LINK:
            members += _linked(message.content)
        elif message.kind == _LINK_INFO and unpack("Q", message.content, 10 if message.content[1] & 1 else 2) != (
            UNDEFINED,
        ):
            raise UnreadableError("its links are in dense storage")
        elif message.kind == _SYMBOL_TABLE:
            tree, heap = unpack("QQ", message.content)
            members += _symbols(file, tree, _names(file, heap))
        if len(members) > _MAX_OBJECTS:
            raise UnreadableError(f"a group has more than {_MAX_OBJECTS} members")
    if shape is not None and size:
        weights.add(elements(shape), 8 * size)
    return members


def _shape(dataspace: bytes) -> tuple[int, ...]:
    version, rank = dataspace[0], dataspace[1]
    return unpack(f"{rank}Q", dataspace, 8 if version == 1 else 4)


def _linked(link: bytes) -> list[int]:
    """Return the address of a hard link; nothing for other links, which lead to a name."""
    flags, at = link[1], 2
    if flags & 0x08:
        if link[at]:
            return []
        at += 1
    at += (8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(link[at : at + width], "little")
    at += width
    if link[at : at + length] in _OPTIMIZER:
        return []
    return [unpack("Q", link, at + length)[0]]


def _names(file: Source, heap: int) -> int:
    """Return the offset of the names of a group."""
    head = read(file, heap, 32)
    if head[:4] != b"HEAP":
        raise UnreadableError(f"no heap of names found at byte {heap}")
    return int(unpack("Q", head, 24)[0])


def _symbols(file: Source, tree: int, names: int) -> Iterator[int]:
    """Yield the objects of a group from its B-tree, whose leaves are symbol table nodes."""
    waiting = [(tree, _MAX_DEPTH)]
    for _ in range(_MAX_NODES):
        if not waiting:
            return
        address, depth = waiting.pop()
        head = read(file, address, 24)
        if head[:4] == b"SNOD":
            yield from _node(file, address, unpack("H", head, 6)[0], names)
            continue
        if head[:4] != b"TREE" or not depth:
            raise UnreadableError(f"no group found at byte {address}")
        used = min(unpack("H", head, 6)[0], _MAX_CHILDREN)
        children = read(file, address + 24, 16 * used)  # a key and a child each
        waiting += [(unpack("Q", children, 16 * index + 8)[0], depth - 1) for index in range(used)]
    raise UnreadableError(f"a group has more than {_MAX_NODES} nodes")


def _node(file: Source, address: int, count: int, names: int) -> Iterator[int]:
    entries = read(file, address + 8, _ENTRY * count)
    for index in range(count):
        name, header = unpack("QQ", entries, _ENTRY * index)
        if read(file, names + name, _MAX_NAME, short=True).split(b"\0")[0] not in _OPTIMIZER:
            yield header
