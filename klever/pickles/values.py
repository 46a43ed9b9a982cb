"""Reads values from the machine's symbols: objects with their attributes, numpy arrays and scalars."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from klever.pickles.arrays import ARRAY_WRAPPER, itemsize
from klever.pickles.stack import Global, Made, Opaque

__all__ = ["NumpyArray", "arrays_within", "attributes", "class_name", "numpy_array", "scalar", "type_name"]

_MAX_RANK: Final = 32
_KINDS: Final = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex", "M": "datetime", "m": "timedelta"}
_UNPACKED: Final = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip
"""Letters of `struct` by numpy's codes."""
_POINTER: Final = 8
_RECONSTRUCTORS: Final = ("copyreg._reconstructor", "copy_reg._reconstructor")
"""The functions that make an object in protocols 0 and 1."""


@dataclass(frozen=True, slots=True)
class NumpyArray:
    """A numpy array. `code` is that of its type, such as `f8`; `itemsize` is in bytes."""

    code: str
    is_swapped: bool
    """Whether its bytes are in big-endian order."""
    itemsize: int
    shape: tuple[int, ...]
    content: object

    @property
    def dtype(self) -> str:
        """Its type: a numpy name, `string` for text, `void` for a structure."""
        if self.code[0] in "SU":
            return "string"
        if self.code == "b1":
            return "bool"
        if self.code[0] in _KINDS:
            return f"{_KINDS[self.code[0]]}{8 * int(self.code[1:])}"
        return "object" if self.code[0] == "O" else "void"

    @property
    def size(self) -> int:
        """The number of its elements."""
        return prod(self.shape)

    def items(self) -> list[Any] | None:
        """Return its elements in the order of the file; None if they are not kept, or not numbers or text."""
        if isinstance(self.content, list):
            return self.content if len(self.content) == self.size else None
        raw = _bytes(self.content)
        if raw is None or len(raw) != self.size * self.itemsize:
            return None
        if self.code in _UNPACKED:
            return list(struct.unpack(f"{'>' if self.is_swapped else '<'}{self.size}{_UNPACKED[self.code]}", raw))
        if self.code[0] not in "SU":
            return None
        encoding = "latin-1" if self.code[0] == "S" else "utf-32-be" if self.is_swapped else "utf-32-le"
        starts = range(0, len(raw), self.itemsize)
        return [raw[at : at + self.itemsize].decode(encoding, "replace").rstrip("\0") for at in starts]


def class_name(value: object) -> str:
    """Return the class or function that made an object, with dots; empty for other values."""
    if not isinstance(value, Made):
        return ""
    if value.of in _RECONSTRUCTORS and isinstance(value.args, tuple) and value.args:
        return value.args[0].name if isinstance(value.args[0], Global) else ""
    return value.of


def type_name(value: object) -> str:
    """Return the class of any value; `object` if it is unknown."""
    if isinstance(value, (Opaque, Global)):
        return "object"
    return class_name(value) or type(value).__name__


def attributes(value: object) -> Mapping[str, Any]:
    """Return the attributes of an object; empty for other values."""
    state = value.state if isinstance(value, Made) else None
    parts = state if isinstance(state, tuple) else (state,)  # a tuple also has the attributes of slots
    return {name: item for part in parts if isinstance(part, dict) for name, item in part.items() if _is_text(name)}


def numpy_array(value: object) -> NumpyArray | None:
    """Return a value as an array; None if it is not an array of a certain type and shape."""
    if not isinstance(value, Made):
        return None
    dtype, shape, content = _parts(value)
    if isinstance(content, Made) and (inner := numpy_array(content)) is not None:  # joblib's arrays of objects
        return inner
    return _array(dtype, shape, content)


def scalar(value: object) -> Any:
    """Return a numpy scalar as a Python value, None if it is uncertain; other values unchanged."""
    if not (isinstance(value, Made) and value.of.endswith(".multiarray.scalar")):
        return value
    dtype, content = value.args if isinstance(value.args, tuple) and len(value.args) == 2 else (None, None)
    array = _array(dtype, (), content)
    items = array.items() if array else None
    return items[0] if items else None


def arrays_within(value: object) -> Iterator[NumpyArray]:
    """Yield every array in a value, each once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or not isinstance(found, (Made, dict, list, tuple)):
            continue
        seen.add(id(found))
        if (array := numpy_array(found)) is not None:
            yield array
        elif isinstance(found, Made):
            waiting += (found.args, found.state)
        else:
            waiting.extend(found.values() if isinstance(found, dict) else found)


def _is_text(name: object) -> bool:
    return isinstance(name, str)


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and len(shape) <= _MAX_RANK and all(type(n) is int and n >= 0 for n in shape)


def _parts(value: Made) -> tuple[Any, Any, Any]:
    """Return the type, shape and content of an array that joblib or numpy pickled."""
    if value.of == ARRAY_WRAPPER:
        state = attributes(value)
        return state.get("dtype"), state.get("shape"), value.content
    if value.of.endswith(".multiarray._reconstruct") and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, dtype, _, content = value.state
        return dtype, shape, content
    if value.of.endswith(".numeric._frombuffer") and isinstance(value.args, tuple) and len(value.args) == 4:
        content, dtype, shape, _ = value.args
        return dtype, shape, content
    return None, None, None


def _array(dtype: Any, shape: Any, content: object) -> NumpyArray | None:
    size = itemsize(dtype)
    if size is None or not _is_shape(shape):
        return None
    return NumpyArray(dtype.args[0], dtype.state[1] == ">", size or _POINTER, shape, content)


def _bytes(content: object) -> bytes | None:
    """Return a value as bytes. Protocols 0 to 2 write bytes as text, and a bytearray as a call."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, Made) and isinstance(content.args, tuple) and content.args:
        first = content.args[0]
        if content.of == "_codecs.encode" and isinstance(first, str):
            return first.encode("latin-1", "replace")
        if content.of.endswith(".bytearray") and isinstance(first, bytes):
            return first
    return None
