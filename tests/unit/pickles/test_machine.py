"""Hostile pickles: each is named unsafe, and nothing of it runs, whatever it takes an unpickler to run it."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import pickletools
import struct
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from klever.limits import Limits
from klever.pickles.names import Pickle
from klever.pickles.reader import read_pickle
from klever.pickles.stack import Opaque
from klever.pickles.streams import Budget

LIMITS = Limits(inspected_bytes=64 << 20, inspected_opcodes=200_000)


class Evil:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def read(content: bytes, limits: Limits = LIMITS) -> Pickle:
    return read_pickle(io.BytesIO(content), Budget.of(limits))


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text.encode())]) + text.encode()


def line(text: str) -> bytes:
    return text.encode() + b"\n"


def unicode4(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def dtype(code: str, *state: bytes, copy: bytes = b"\x89\x88") -> bytes:
    """A pickled numpy.dtype; `copy` are its arguments `align` and `copy`."""
    return b"cnumpy\ndtype\n" + short(code) + copy + b"\x87R(" + b"".join(state) + b"tb"


def flags(number: int, size: int = -1) -> tuple[bytes, ...]:
    """The state of a dtype without fields."""
    return (int4(3), short("<"), b"N", b"N", b"N", int4(size), int4(size), int4(number))


def structure(size: int, field: bytes) -> bytes:
    """A dtype of so many bytes with one field."""
    fields = b"}" + short("a") + field + b"K\0\x86s"
    state = (int4(3), short("|"), b"N", short("a") + b"\x85", fields, int4(size), int4(8), int4(144))
    return dtype(f"V{size}", *state)


def int4(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def array(dtype: bytes, length: int) -> bytes:
    """What joblib writes before the content of an array."""
    state = short("shape") + int4(length) + b"\x85" + short("order") + short("C") + short("dtype") + dtype
    wrapper = short("joblib.numpy_pickle") + short("NumpyArrayWrapper")
    return b"\x80\x04" + wrapper + b"\x93)\x81}(" + state + b"ub"


MKDIR = b"cos\nmkdir\n"

LIVE: dict[str, Callable[[str], bytes]] = {
    "GLOBAL and REDUCE, text alone": lambda p: MKDIR + b"(V" + line(p) + b"tR.",
    "a quoted string": lambda p: MKDIR + b"(S'" + p.encode() + b"'\ntR.",
    "protocol 1": lambda p: MKDIR + unicode4(p) + b"\x85R.",
    "INST": lambda p: b"(V" + line(p) + b"ios\nmkdir\n.",
    "OBJ": lambda p: b"(" + MKDIR + b"V" + line(p) + b"o.",
    "STACK_GLOBAL": lambda p: b"\x80\x04" + short("os") + short("mkdir") + b"\x93" + short(p) + b"\x85R.",
    "protocol 4 that is not declared": lambda p: short("os") + short("mkdir") + b"\x93" + short(p) + b"\x85R.",
    "a frame": lambda p: b"\x80\x04\x95" + struct.pack("<Q", len(p) + 6 + 9) + short("os") + short("mkdir") + b"\x93"
    + short(p) + b"\x85R.",
    "names from the memo": lambda p: short("mkdir") + b"\x940" + short("os") + b"h\x00\x93" + short(p) + b"\x85R.",
    "a memo whose entries are overwritten": lambda p: short("OrderedDict") + b"q\x050" + short("mkdir") + b"q\x050"
    + short("os") + b"h\x05\x93" + short(p) + b"\x85R.",
    "MEMOIZE after PUT": lambda p: short("x") + b"q\x070" + short("mkdir") + b"\x940" + short("os") + b"h\x01\x93"
    + short(p) + b"\x85R.",
    "an index in other digits": lambda p: short("mkdir") + b"p1_0\n0" + short("os") + b"g10\n\x93" + short(p)
    + b"\x85R.",
    "PROTO in the middle": lambda p: b"\x80\x02\x80\x04N0\x80\x00" + MKDIR + unicode4(p) + b"\x85R.",
    "a module that is imported anew": lambda p: b"cbuiltins\n__import__\n" + unicode4("os") + b"\x85R0" + MKDIR
    + unicode4(p) + b"\x85R.",
    "behind a large array of bytes": lambda p: b"B" + struct.pack("<I", 5 << 20) + b"\0" * (5 << 20) + b"0" + MKDIR
    + unicode4(p) + b"\x85R.",
    "behind 50,000 values": lambda p: b"](" + b"K\x01" * 50_000 + b"e0" + MKDIR + unicode4(p) + b"\x85R.",
    "behind a number in base 16": lambda p: b"I0x10\n0" + MKDIR + unicode4(p) + b"\x85R.",
    "in a tuple of marks": lambda p: b"(((1" + b"0" * 2 + MKDIR + unicode4(p) + b"\x85R.",
    "getattr of something harmless": lambda p: b"cbuiltins\ngetattr\n" + b"cos\npath\n" + unicode4("os") + b"\x86R0"
    + MKDIR + unicode4(p) + b"\x85R.",
    "with a state": lambda p: MKDIR + unicode4(p) + b"\x85R}b.",
    "a name with dots": lambda p: b"\x80\x04" + short("os") + short("path.os.mkdir") + b"\x93" + short(p) + b"\x85R.",
}  # fmt: skip
"""Pickles that make the directory with this name, by what is special about them."""


@pytest.mark.parametrize("name", LIVE)
def test_a_pickle_that_runs_code_is_unsafe_and_does_not_run(name: str, tmp_path: Path) -> None:
    content = LIVE[name](str(tmp_path / "ran"))
    found = read(content)
    assert any("mkdir" in global_ for global_ in found.unsafe), found
    assert not (tmp_path / "ran").exists()
    try:  # the payload is a real one
        pickle.loads(content)
    except Exception:  # noqa: BLE001 - it may fail after it has run
        assert (tmp_path / "ran").exists()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_followed(protocol: int, tmp_path: Path) -> None:
    content = pickle.dumps({"a": [1, 2.5, "x" * 3000], "b": Evil(tmp_path / "ran")}, protocol)
    for written in (content, pickletools.optimize(content)):
        assert any("mkdir" in name for name in read(written).unsafe)
    assert not (tmp_path / "ran").exists()


def test_every_pickle_of_a_file_is_read(tmp_path: Path) -> None:
    second = pickle.dumps([1]) + pickle.dumps(Evil(tmp_path / "ran"))
    assert any("mkdir" in name for name in read(second).unsafe)
    after = read(pickle.dumps([1]) + b"\xff\xff")
    assert after.damaged


HOSTILE: dict[str, bytes] = {
    "a global whose name is computed": b"(" + short("mk") + b"l" + short("os") + b"N\x93.",
    "a module that is a number": b"K\x01" + short("mkdir") + b"\x93.",
    "a name that a call made": b"\x80\x04" + short("os") + b"c_codecs\nencode\n" + short("mkdir") + b"\x85R\x93.",
    "an extension": b"\x80\x02\x82\x07)R.",
    "an extension of four bytes": b"\x80\x02\x84\x07\x00\x00\x7f)R.",
    "a persistent id": b"Pevil\n.",
    "a persistent id from the stack": b"\x80\x02K\x01Q.",
    "a call of what a call made": b"cbuiltins\nset\n)R)R.",
    "a call of a number": b"K\x01)R.",
    "NEWOBJ_EX": b"\x80\x04" + short("subprocess") + short("Popen") + b"\x93)}\x92.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\n)\x81.",
    "BUILD with a state": b"\x80\x02c__main__\nModel\n)\x81}" + unicode4("x") + b"K\x01sb.",
    "a state of a list": b"\x80\x02]}b.",
    "cloudpickle": b"\x80\x05" + short("cloudpickle.cloudpickle") + short("_make_function") + b"\x93.",
    "dill": b"\x80\x04" + short("dill._dill") + short("_create_code") + b"\x93)R.",
    "marshal": b"cmarshal\nloads\n(S'x'\ntR.",
    "numpy's own evaluator": b"cnumpy.testing._private.utils\nrunstring\n(S'x'\nS'y'\ntR.",
    "a name with a long module": b"c" + b"m" * 5000 + b"\nx\n.",
    "a copyreg reconstructor": b"ccopyreg\n_reconstructor\n(c__main__\nX\ncbuiltins\nobject\nNtR.",
    "operator.attrgetter": b"coperator\nattrgetter\n(S'x'\ntR.",
    "functools.partial": b"\x80\x04" + short("functools") + short("partial") + b"\x93.",
    "an array wrapper of an unknown size": b"\x80\x04" + short("joblib.numpy_pickle") + short("NumpyArrayWrapper")
    + b"\x93)\x81}b" + MKDIR,
    "an array wrapper with two shapes": b"\x80\x04" + short("joblib.numpy_pickle") + short("NumpyArrayWrapper")
    + b"\x93)\x81}(" + b"".join(short(f"k{i}") + b"N" for i in range(60)) + short("shape") + b"Nub.",
    "an array of numbers whose type says that it holds objects": array(dtype("i8", *flags(63)), 4) + MKDIR + b"(V"
    + b"x" * 17 + b"\ntR..",
    "an array of objects whose type says it holds none": array(dtype("O8", *flags(0)), 1) + b"N." + bytes(6) + b".",
    "a type that others share": array(dtype("i8", *flags(0), copy=b"\x89\x89"), 1) + bytes(8) + b".",
    "a text type without a size": array(dtype("S4", *flags(0, -1)), 1) + bytes(4) + b".",
    "a structure with objects in it": array(structure(8, dtype("O8", *flags(63))), 1) + bytes(8) + b".",
    "a structure that is too small": array(structure(4, dtype("i8", *flags(0))), 1) + bytes(8) + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_undecidable_pickles_are_unsafe(name: str) -> None:
    assert read(HOSTILE[name]).unsafe


DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "a length beyond the end": b"\x8d" + struct.pack("<Q", 2**63) + b"x.",
    "the greatest length": b"\x8e" + b"\xff" * 8 + b".",
    "a negative length": b"T\xff\xff\xff\xffx.",
    "a long number with a negative length": b"\x8b\xff\xff\xff\xff.",
    "an index that is missing": b"h\x05.",
    "an index of 64 bits": b"Np99999999999999999999\n.",
    "an opcode that does not exist": b"\xff.",
    "POP of nothing": b"0.",
    "no STOP": b"N",
    "a mark that is missing": b"t.",
    "a protocol of the future": b"\x80\x06N.",
    "a string that is not UTF-8": b"X\x02\0\0\0\xff\xfe.",
    "a line without an end": b"S'aaaa",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_an_unreadable_pickle_is_damaged(name: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - each fails in its own way
        pickle.loads(DAMAGED[name])
    assert read(DAMAGED[name]).damaged


BOMBS: dict[str, Callable[[], bytes]] = {
    "marks": lambda: b"(" * 300_000,
    "values": lambda: b"N" * 300_000,
    "a memo without end": lambda: b"N" + b"\x94" * 300_000,
    "a memo with large indexes": lambda: b"N" + b"".join(b"r" + struct.pack("<I", i) for i in range(0, 2**32, 16000)),
    "tuples of tuples": lambda: b"N" + b"2\x86" * 50_000,
    "texts": lambda: (b"X" + struct.pack("<I", 1000) + b"x" * 1000) * 20_000,
    "names": lambda: b"".join(b"cm%d\nn\n0" % i for i in range(20_000)) + b"N.",
    "a dictionary": lambda: b"}" + b"".join(short(str(i)) + b"Ns" for i in range(20_000)),
    "frames in frames": lambda: (b"\x95" + struct.pack("<Q", 2**62)) * 50_000,
    "a line without end": lambda: b"S" + b"x" * (100 << 20),
    "arrays in arrays": lambda: (
        b"\x80\x04" + short("joblib.numpy_pickle") + short("NumpyArrayWrapper") + b"\x93)\x81}(" + short("shape") + b")"
        + short("dtype") + b"cnumpy\ndtype\n" + short("O8") + b"\x85Rub"
    ) * 2000,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_unsafe_and_takes_little_memory(name: str) -> None:
    content = BOMBS[name]()
    limits = Limits(inspected_opcodes=3_000_000)
    tracemalloc.start()
    try:
        found = read(content, limits)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert found.unsafe or found.damaged


def test_the_opcodes_of_a_pickle_are_bounded() -> None:
    found = read(b"N0" * 200_000 + MKDIR + b".")
    assert found.unsafe == {"(the limit inspected_opcodes is reached)"}


def test_the_bytes_of_a_pickle_are_bounded() -> None:
    content = b"B" + struct.pack("<I", 10 << 20) + bytes(10 << 20) + MKDIR + b"."
    assert read(content, Limits(inspected_bytes=1 << 20)).unsafe == {"(the limit inspected_bytes is reached)"}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_is_safe(protocol: int) -> None:
    plain = {
        "numbers": [1, -(10**400), 2.5, 1j, True, None],
        "texts": ("x" * 3000, "ß\n\0", b"y" * 5000, bytearray(b"z")),
        "collections": [{1, 2}, frozenset([3]), OrderedDict(a=1), (1, 2, 3, 4, 5), (), {}],
        "array": np.arange(12.0).reshape(3, 4),
        "objects": np.array(["a", 1, None], dtype=object),
        "scalar": np.float32(1.5),
        "time": datetime(2026, 1, 31, tzinfo=UTC).replace(tzinfo=None),
    }
    for content in (pickle.dumps(plain, protocol), pickletools.optimize(pickle.dumps(plain, protocol))):
        found = read(content)
        assert (found.unsafe, found.damaged) == (set(), "")


def test_a_registered_extension_is_not_looked_up(tmp_path: Path) -> None:
    copyreg.add_extension("os", "mkdir", 0x7F000001)
    try:
        assert read(b"\x84\x01\x00\x00\x7fV" + line(str(tmp_path / "ran")) + b"\x85R.").unsafe
    finally:
        copyreg.remove_extension("os", "mkdir", 0x7F000001)
    assert not (tmp_path / "ran").exists()


def test_structured_arrays_of_joblib_are_passed_over() -> None:
    layout = structure(16, dtype("f8", *flags(0)))
    found = read(array(layout, 100) + bytes(1600) + b".")
    assert (found.unsafe, found.damaged) == (set(), "")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_rebuilt(protocol: int) -> None:
    plain = {"numbers": [1, -7, 2.5, True, None], "texts": ["x", "ß\n"], "pair": ("a", 1), "inner": {"b": []}}
    assert read(pickle.dumps(plain, protocol)).value == plain


def test_values_beyond_the_limits_are_opaque() -> None:
    value = read(pickle.dumps({"long": list(range(300_000)), "next": "a"}), Limits()).value
    assert isinstance(value, dict)
    assert isinstance(value["long"][-1], Opaque)
    assert value["next"] == "a"
