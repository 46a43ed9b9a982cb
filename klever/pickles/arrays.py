"""The arrays that joblib writes into a pickle (joblib/numpy_pickle.py, `NumpyArrayWrapper.read_array`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ARRAY_WRAPPER", "Array", "array_of"]

ARRAY_WRAPPER: Final = "joblib.numpy_pickle.NumpyArrayWrapper"
_DTYPE: Final = re.compile(r"([biufcmMSUV])(\d{1,9})")
_CHARACTER: Final = 4
"""Bytes of a character of a `U` dtype."""
_MAX_SIZE: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Array:
    """What follows the wrapper's state: a pickle, or `size` bytes; `is_padded`: a byte says how many come before."""

    size: int
    is_pickled: bool
    is_padded: bool


def array_of(state: object) -> Array | None:
    """Return what follows a wrapper with this state; None where it is not certain."""
    if not isinstance(state, dict) or any(not isinstance(key, str) for key in state):
        return None
    shape, alignment = state.get("shape"), state.get("numpy_array_alignment_bytes")
    itemsize = _itemsize(state.get("dtype"))
    if itemsize is None or not isinstance(shape, tuple) or not (alignment is None or type(alignment) is int):
        return None
    if itemsize == 0:
        return Array(0, is_pickled=True, is_padded=False)
    size = itemsize
    for length in shape:
        if type(length) is not int or not 0 <= length < _MAX_SIZE or size > _MAX_SIZE:
            return None
        size *= length
    return Array(size, is_pickled=False, is_padded=alignment is not None)


def _itemsize(dtype: Any) -> int | None:
    """Return the bytes of an item of a `numpy.dtype` as it is pickled; 0 for objects, None where it is not certain."""
    if getattr(dtype, "of", "") != "numpy.dtype" or not isinstance(dtype.args, tuple) or not dtype.args:
        return None
    code, state = dtype.args[0], dtype.state
    if code == "O8":
        return 0
    match = _DTYPE.fullmatch(code) if isinstance(code, str) else None
    # (version, byte order, subdtype, names, fields, itemsize, alignment, flags[, metadata])
    if match is None or not isinstance(state, tuple) or len(state) not in (8, 9) or state[2:5] != (None, None, None):
        return None
    size = int(match[2]) * (_CHARACTER if match[1] == "U" else 1)
    return size if size and state[5] in (-1, size) else None
