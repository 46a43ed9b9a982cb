"""Maps the arrays of an MXNet *.params file into memory (src/ndarray/ndarray.cc, NDArray::Save)."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.errors import ConversionError

__all__ = ["read_params"]

_MAX_RANK: Final = 32
_LIST_MAGIC: Final = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES: Final = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "?", "i2", "u2", "u4", "u8")
"""mshadow/base.h: numpy's type by type flag."""


def read_params(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays by name, without `arg:` and `aux:`. Raises `ConversionError` that names the file."""
    try:
        return _Reader(path).arrays()
    except (struct.error, ValueError, IndexError) as error:
        raise ConversionError(f"{path.name} is not a list of MXNet parameters: {error}") from error


class _Reader:
    def __init__(self, path: Path) -> None:
        self._content = np.memmap(path, np.uint8, mode="r")
        self._at = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        magic, _, count = self._take("QQQ")
        if magic != _LIST_MAGIC:
            raise ValueError(f"it must begin with {_LIST_MAGIC:#x}, not {magic:#x}")
        arrays = [self._array() for _ in range(count)]
        (count,) = self._take("Q")
        names = [self._name() for _ in range(count)]
        found = zip(names, arrays, strict=True)
        return {name.removeprefix("arg:").removeprefix("aux:"): array for name, array in found}

    def _array(self) -> NDArray[Any]:
        (magic,) = self._take("I")
        if magic in (_V2, _V3):
            (storage,) = self._take("i")
            if storage:
                raise ValueError("sparse arrays are not supported")
        if magic in (_V1, _V2, _V3):
            (rank,) = self._take("i")
            kind = "q"
        else:  # before version 1 the rank came first
            rank, kind = magic, "I"
        if rank > _MAX_RANK:
            raise ValueError(f"an array has {rank} dimensions, and {_MAX_RANK} are supported")
        shape = self._take(kind * rank)
        if rank <= 0 and magic != _V3:
            return np.zeros(0, np.float32)
        _, _, flag = self._take("iii")  # the device's type and number, the type of the elements
        dtype = np.dtype(_TYPES[flag])
        return self._bytes(prod(shape) * dtype.itemsize).view(dtype).reshape(shape)

    def _name(self) -> str:
        (length,) = self._take("Q")
        return self._bytes(length).tobytes().decode()

    def _take(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(f"<{layout}", self._bytes(struct.calcsize(f"<{layout}")).tobytes())

    def _bytes(self, count: int) -> NDArray[np.uint8]:
        if not 0 <= count <= len(self._content) - self._at:
            raise ValueError("it ends within an array")
        self._at += count
        found: NDArray[np.uint8] = self._content[self._at - count : self._at]
        return found
