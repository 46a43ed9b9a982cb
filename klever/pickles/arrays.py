"""The arrays that joblib writes into a pickle (joblib/numpy_pickle.py, `NumpyArrayWrapper.read_array`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ARRAY_WRAPPER", "Array", "itemsize", "read_array"]

ARRAY_WRAPPER: Final = "joblib.numpy_pickle.NumpyArrayWrapper"
_DTYPE: Final = re.compile(r"([biufcmMSUV])(\d{1,9})")
_CHARACTER: Final = 4
"""Bytes per character of a `U` dtype."""
_MAX_SIZE: Final = 1 << 62
_OBJECTS: Final = 0x01
"""The flag of a dtype that holds objects (NPY_ITEM_REFCOUNT). numpy trusts it, whatever the code of the dtype is."""
_MAX_FLAGS: Final = 1 << 8


@dataclass(frozen=True, slots=True)
class Array:
    """The data after a wrapper's state: a pickle, or `size` bytes. If `is_padded`, a byte has the padding."""

    size: int
    is_pickled: bool
    is_padded: bool


def read_array(state: object) -> Array | None:
    """Return the array after a wrapper with this state; None if it is uncertain."""
    if not isinstance(state, dict) or any(not isinstance(key, str) for key in state):
        return None
    shape, alignment = state.get("shape"), state.get("numpy_array_alignment_bytes")
    size = itemsize(state.get("dtype"))
    if size is None or not isinstance(shape, tuple) or not (alignment is None or type(alignment) is int):
        return None
    if size == 0:
        return Array(0, is_pickled=True, is_padded=False)
    for length in shape:
        if type(length) is not int or not 0 <= length < _MAX_SIZE or size > _MAX_SIZE:
            return None
        size *= length
    return Array(size, is_pickled=False, is_padded=alignment is not None)


def itemsize(dtype: Any, *, structures: bool = True) -> int | None:
    """Return the item size of a pickled `numpy.dtype` in bytes; 0 for objects, None if it is uncertain."""
    if not _is_complete(dtype):
        return None
    code, state = dtype.args[0], dtype.state
    flags = state[7]
    if code == "O8":
        return 0 if flags & _OBJECTS and state[3:5] == (None, None) else None
    match = _DTYPE.fullmatch(code) if isinstance(code, str) else None
    if match is None or flags & _OBJECTS:
        return None
    if structures and match[1] == "V" and state[3] is not None:
        return _structure(state)
    size = int(match[2]) * (_CHARACTER if match[1] == "U" else 1)
    wanted = (size,) if match[1] in "SUV" else (-1, size)
    return size if size and state[3:5] == (None, None) and state[5] in wanted else None


def _is_complete(dtype: Any) -> bool:
    """Whether this is `numpy.dtype(code, False, True)` with a state."""
    if getattr(dtype, "of", "") != "numpy.dtype" or not isinstance(dtype.args, tuple):
        return False
    if len(dtype.args) != 3 or any(type(arg) not in (bool, int) for arg in dtype.args[1:]) or dtype.args[1:] != (0, 1):
        return False
    # (version, byte order, subdtype, names, fields, itemsize, alignment, flags[, metadata])
    state = dtype.state
    if not isinstance(state, tuple) or len(state) not in (8, 9) or state[2] is not None:
        return False
    return type(state[7]) is int and 0 <= state[7] < _MAX_FLAGS


def _structure(state: tuple[Any, ...]) -> int | None:
    """Return the size of a structure in bytes, if its fields are certain, plain, and inside it."""
    names, fields, size = state[3:6]
    if type(size) is not int or size <= 0:
        return None
    if not isinstance(names, tuple) or not isinstance(fields, dict) or list(fields) != list(names):
        return None
    for field in fields.values():
        if not isinstance(field, tuple) or len(field) != 2 or type(field[1]) is not int:
            return None
        inner = itemsize(field[0], structures=False)
        if not inner or not 0 <= field[1] <= size - inner:
            return None
    return size
