"""MXNet's list of NDArrays: the names and sizes of the parameters (src/ndarray/ndarray.cc, NDArray::Save).

Weights are skipped, not read.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import BinaryIO, Final

from klever.errors import InvalidError
from klever.formats.weights import Weights, elements

__all__ = ["LIMIT", "TYPES", "read_parameters"]

LIMIT: Final = 16 << 30
"""The largest file and array in bytes."""
_MAX_ARRAYS: Final = 100_000
_MAX_NAME: Final = 4096
_MAX_RANK: Final = 32
_LIST_MAGIC: Final = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE: Final = 0
TYPES: Final = (
    ("float32", 4), ("float64", 8), ("float16", 2), ("uint8", 1), ("int32", 4), ("int8", 1), ("int64", 8), ("bool", 1),
    ("int16", 2), ("uint16", 2), ("uint32", 4), ("uint64", 8), ("bfloat16", 2),
)  # fmt: skip
"""mshadow/base.h: name and bytes by type flag."""


def read_parameters(path: Path) -> tuple[set[str], Weights]:
    """Return the names of the parameters, without `arg:` and `aux:`, and their size. Raises `InvalidError`."""
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size)
    except (InvalidError, struct.error) as error:
        raise InvalidError(f"{path.name} is not a list of MXNet parameters: {error}") from error


def _read(file: BinaryIO, size: int) -> tuple[set[str], Weights]:
    weights = Weights()
    magic, _, count = _unpack(file, "QQQ")
    if magic != _LIST_MAGIC:
        raise InvalidError(f"it must begin with {_LIST_MAGIC:#x}, not {magic:#x}")
    if count > _MAX_ARRAYS:
        raise InvalidError(f"it must have at most {_MAX_ARRAYS} arrays, not {count}")
    for index in range(count):
        _skip_array(file, weights)
        if file.tell() > size:
            raise InvalidError(f"it is truncated: it ends at byte {size}, within array {index} of {count}")
    return _names(file), weights


def _names(file: BinaryIO) -> set[str]:
    names = set()
    (count,) = _unpack(file, "Q")
    if count > _MAX_ARRAYS:
        raise InvalidError(f"it must have at most {_MAX_ARRAYS} names, not {count}")
    for _ in range(count):
        (length,) = _unpack(file, "Q")
        if length > _MAX_NAME:
            raise InvalidError(f"a name must have at most {_MAX_NAME} bytes, not {length}")
        name = file.read(length).decode(errors="replace")
        names.add(name.removeprefix("arg:").removeprefix("aux:"))
    return names


def _skip_array(file: BinaryIO, weights: Weights) -> None:
    (magic,) = _unpack(file, "I")
    if magic in (_V2, _V3):
        (storage,) = _unpack(file, "i")
        if storage != _DENSE:
            raise InvalidError("sparse arrays are not supported")
    shape = _shape(file, magic)
    if shape is None:
        return
    _, _, flag = _unpack(file, "iii")  # the device's type and number, the type of the elements
    if not 0 <= flag < len(TYPES):
        raise InvalidError(f"an array has the unknown type {flag}")
    count, size = elements(shape), TYPES[flag][1]
    weights.add(count, 8 * size)
    file.seek(count * size, 1)


def _shape(file: BinaryIO, magic: int) -> tuple[int, ...] | None:
    """Return an array's shape; None for an array without content."""
    if magic in (_V1, _V2, _V3):
        (rank,) = _unpack(file, "i")
        layout = "q"
    else:  # before version 1 the rank came first
        rank, layout = magic, "I"
    if rank == -1 or (rank == 0 and magic != _V3):
        return None
    if not 0 <= rank <= _MAX_RANK:
        raise InvalidError(f"an array has the invalid rank {rank}")
    shape = _unpack(file, layout * rank) if rank else ()
    if any(dim < 0 for dim in shape) or prod(shape) > LIMIT:
        raise InvalidError(f"an array has the invalid shape {list(shape)}")
    return shape


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    content = file.read(struct.calcsize(f"<{layout}"))
    return struct.unpack(f"<{layout}", content)
