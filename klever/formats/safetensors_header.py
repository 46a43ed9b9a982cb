"""Reads the header of a SafeTensors file: JSON with the type, shape and place of each tensor."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from klever.errors import InvalidError
from klever.formats.weights import Weights, elements

__all__ = ["Header", "read_header"]

_LENGTH: Final = 8
_MAX_HEADER: Final = 16 << 20
_MAX_RANK: Final = 32
_MAX_FORMAT: Final = 80
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


@dataclass(slots=True)
class Header:
    """The content of a header: the weights, the bytes of each type, and the framework from `__metadata__`."""

    weights: Weights = field(default_factory=Weights)
    types: Counter[str] = field(default_factory=Counter)
    format: str = ""


def read_header(file: memoryview) -> Header:
    """Read a header. Raises `InvalidError` that names the fault."""
    if len(file) < _LENGTH:
        raise InvalidError(f"it has only {len(file)} bytes and no header")
    size = int.from_bytes(file[:_LENGTH], "little")
    if size > _MAX_HEADER:
        raise InvalidError(f"its header must have at most {_MAX_HEADER} bytes, not {size}")
    if size > len(file) - _LENGTH:
        raise InvalidError(f"it is truncated: its header has {size} bytes, but only {len(file) - _LENGTH} follow")
    tensors = _Tensors(len(file) - _LENGTH - size)
    try:
        document = json.loads(bytes(file[_LENGTH : _LENGTH + size]), object_pairs_hook=tensors.take)
    except InvalidError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"its header is not valid JSON: {error}") from error
    if not isinstance(document, _Taken):
        raise InvalidError("its header must be a JSON object")
    if document.fault:
        raise InvalidError(f"its header {document.fault}")
    return tensors.header


@dataclass(frozen=True, slots=True)
class _Taken:
    """Stands for a parsed object. `fault` is the fault of the tensor that it describes."""

    fault: str = ""


_GOOD: Final = _Taken()


class _Tensors:
    """Reads the objects of a header one after another, so that they are never in memory together."""

    def __init__(self, data: int) -> None:
        self.header = Header()
        self._data = data

    def take(self, pairs: list[tuple[str, Any]]) -> _Taken:
        """Read a tensor, the metadata, or the header itself, which comes last."""
        found = dict(pairs)
        if "data_offsets" in found and not isinstance(found["data_offsets"], _Taken):
            return self._tensor(found)
        for name, value in pairs:
            if isinstance(value, _Taken) and value.fault:
                raise InvalidError(f"tensor {name[:80]!r} {value.fault}")
        written_by = found.get("format")
        if isinstance(written_by, str) and len(written_by) < _MAX_FORMAT:
            self.header.format = written_by
        return _GOOD

    def _tensor(self, tensor: dict[str, Any]) -> _Taken:
        kind, shape, offsets = tensor.get("dtype"), tensor.get("shape"), tensor.get("data_offsets")
        if not isinstance(kind, str) or kind not in _BITS:
            return _Taken(f"has the unknown type {str(kind)[:80]!r}: must be one of {', '.join(_BITS)}")
        if not (_are_naturals(shape) and len(shape) <= _MAX_RANK):
            return _Taken(f"has the invalid shape {str(shape)[:80]}: must be at most {_MAX_RANK} whole numbers")
        if not (_are_naturals(offsets) and len(offsets) == 2):
            return _Taken(f"has the invalid data_offsets {str(offsets)[:80]}: must be two whole numbers")
        start, end = offsets
        if end > self._data:
            return _Taken(
                f"ends at byte {end} of the data, but the file has only {self._data} bytes of data: it is truncated"
            )
        count = elements(shape)
        if end - start != (count * _BITS[kind] + 7) // 8:
            return _Taken(f"has {count} elements of {kind}, but {end - start} bytes")
        self.header.weights.add_bytes(count, end - start)
        self.header.types[kind] += end - start
        return _GOOD


def _are_naturals(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(isinstance(item, int) and item >= 0 for item in value)
