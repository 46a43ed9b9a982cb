"""Reads the sizes of PyTorch's storages from the opcodes of a pickle, without loading it.

A storage is a persistent id: the tuple `("storage", torch.FloatStorage, key, device, elements)`
(torch/csrc/jit/serialization/pickler.cpp, Pickler::pushStorageOfTensor).
"""

from __future__ import annotations

import pickletools
from typing import Final

from klever.errors import InvalidError
from klever.formats.weights import Weights

__all__ = ["count_storages"]

_BITS: Final = {
    "DoubleStorage": 64, "FloatStorage": 32, "HalfStorage": 16, "BFloat16Storage": 16, "LongStorage": 64,
    "IntStorage": 32, "ShortStorage": 16, "CharStorage": 8, "ByteStorage": 8, "BoolStorage": 8,
    "ComplexFloatStorage": 64, "ComplexDoubleStorage": 128, "QInt8Storage": 8, "QUInt8Storage": 8, "QInt32Storage": 32,
}  # fmt: skip
_MAX_OPCODES: Final = 2_000_000
_INTEGERS: Final = frozenset({"BININT", "BININT1", "BININT2", "LONG1"})
_TEXTS: Final = frozenset({"BINUNICODE", "SHORT_BINUNICODE"})
_GETS: Final = frozenset({"BINGET", "LONG_BINGET"})
_PUTS: Final = frozenset({"BINPUT", "LONG_BINPUT"})


def count_storages(pickle: bytes) -> Weights:
    """Return the elements and bytes of all storages, each counted once. Raises `InvalidError` for a damaged pickle."""
    try:
        return _count(pickle)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"its pickle is damaged: {error}") from error


def _count(pickle: bytes) -> Weights:
    weights = Weights()
    seen: set[object] = set()
    memo: dict[object, object] = {}
    recent: list[object] = []
    """The last arguments. They end with those of the tuple: kind, key, device, elements."""
    for index, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
        if index > _MAX_OPCODES:
            raise InvalidError(f"its pickle must have at most {_MAX_OPCODES} opcodes")
        if opcode.name in _PUTS:
            memo[argument] = recent[-1] if recent else None
        elif opcode.name == "BINPERSID":
            _add(recent, seen, weights)
        elif opcode.name in _GETS:
            recent.append(memo.get(argument))
        elif opcode.name in _INTEGERS or opcode.name in _TEXTS or opcode.name == "GLOBAL":
            recent.append(argument)
        del recent[:-4]
    return weights


def _add(recent: list[object], seen: set[object], weights: Weights) -> None:
    if len(recent) != 4 or recent[1] in seen:
        return
    kind, key, _, count = recent
    bits = _BITS.get(str(kind).rpartition(" ")[2], 0)
    if bits and isinstance(count, int) and count >= 0:
        seen.add(key)
        weights.add(count, bits)
