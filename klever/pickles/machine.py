"""The machine of `klever.pickles.reader`: one pickle's opcodes on a stack of symbols."""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any, Final

from klever.pickles.arrays import ARRAY_WRAPPER, Array, itemsize, read_array
from klever.pickles.literals import Literals
from klever.pickles.names import Pickle
from klever.pickles.stack import MAX_ITEMS, OPAQUE, Global, Made
from klever.pickles.streams import Budget, Reader

__all__ = ["Machine"]

_MAX_NAME: Final = 1024
"""The longest module or name that is kept, in characters."""
_MAX_TEXT: Final = 1 << 16
"""The longest text or array content that is kept, in bytes."""
_DTYPE: Final = "numpy.dtype"
_MAX_DEPTH: Final = 20
"""The deepest nesting of pickles in arrays of pickles."""
_HIGHEST_PROTOCOL: Final = 5


class Machine(Literals):
    """Follows one pickle from `reader` and adds its names to `found`."""

    def __init__(self, reader: Reader, budget: Budget, found: Pickle, depth: int = 0) -> None:
        super().__init__(reader, found)
        self._budget = budget
        self._depth = depth

    def run(self) -> object:
        """Return the value of the pickle. Raises `DamagedError` if every unpickler fails, and `BudgetError`."""
        while True:
            self._budget.opcode()
            code = self._reader.read(1)
            if code == pickle.STOP:
                return self._pop()
            if code not in _OPCODES:
                raise self._damaged(f"unknown opcode {code!r}")
            step, argument = _OPCODES[code]
            step(self, self._argument(argument) if argument else b"")
            self._check()

    # Arguments

    def _argument(self, kind: pickletools.ArgumentDescriptor) -> Any:
        """Read an opcode's argument: bytes, None if it is too long to keep, or lines for text opcodes."""
        if kind.n >= 0:
            return self._reader.read(kind.n)
        if kind.n == pickletools.UP_TO_NEWLINE:
            first = self._reader.line(_MAX_TEXT)
            return (first, self._reader.line(_MAX_TEXT)) if kind.name == "stringnl_noescape_pair" else first
        size = struct.unpack(*_SIZES[kind.n](self._reader))[0]
        if size < 0:
            raise self._damaged(f"invalid length {size}")
        if size <= _MAX_TEXT:
            return self._reader.read(size)
        self._reader.skip(size)
        return None

    def proto(self, argument: bytes) -> None:
        if argument[0] > _HIGHEST_PROTOCOL:
            raise self._damaged(f"protocol {argument[0]} is not supported")

    # Globals and calls

    def global_(self, argument: tuple[bytes | None, bytes | None]) -> None:
        self._push(self._named(*argument))

    def _named(self, module: bytes | None, name: bytes | None) -> Global:
        if module is None or name is None:
            self._found.suspect("(a global with a long name)")
            return Global("?")
        return self._global(module.decode("utf-8", "replace"), name.decode("utf-8", "replace"))

    def _global(self, module: str, name: str) -> Global:
        if max(len(module), len(name)) > _MAX_NAME:
            return self._named(None, None)
        named = Global(f"{module}.{name}")
        self._found.add(named.name)
        return named

    def stack_global(self, _argument: object) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            self._found.suspect("(a global with a computed name)")
            self._push(Global("?"))
            return
        self._push(self._global(module, name))

    def extension(self, argument: bytes) -> None:
        self._found.suspect(f"(extension {int.from_bytes(argument, 'little')})")
        self._push(Global("?"))

    def persistent(self, _argument: object) -> None:
        self._found.suspect("(persistent id)")
        self._push(OPAQUE)

    def binary_persistent(self, argument: object) -> None:
        self._pop()
        self.persistent(argument)

    def _make(self, called: object, arguments: object) -> None:
        if not isinstance(called, Global):
            self._found.suspect("(a call of a computed value)")
        self._push(Made(called.name if isinstance(called, Global) else "?", arguments))

    def reduce(self, _argument: object) -> None:
        arguments, called = self._pop(), self._pop()
        self._make(called, arguments)

    def new(self, _argument: object) -> None:
        self.reduce(_argument)

    def new_with_keywords(self, _argument: object) -> None:
        self._pop()
        self.reduce(_argument)

    def instance(self, argument: tuple[bytes | None, bytes | None]) -> None:
        items = self._pop_to_mark()
        self._make(self._named(*argument), tuple(items[:MAX_ITEMS]))

    def object_(self, _argument: object) -> None:
        items = self._pop_to_mark()
        if not items:
            raise self._damaged("the stack is empty")
        self._make(items[0], tuple(items[1:MAX_ITEMS]))

    def build(self, _argument: object) -> None:
        state, target = self._pop(), self._top()
        if not isinstance(target, Made):
            self._found.suspect("(the state of a computed value)")
            return
        target.state = state
        if target.of == ARRAY_WRAPPER:
            target.content = self._array(read_array(state))
        if target.of == _DTYPE and itemsize(target) is None:
            self._found.suspect("(a numpy.dtype of an unknown layout)")

    def _array(self, array: Array | None) -> object:
        """Return the content of an array that joblib wrote here, or skip a large one."""
        if array is None:
            raise self._lost("an array of unknown size")
        if array.is_pickled:
            if self._depth == _MAX_DEPTH:
                raise self._lost("nested too deep")
            return Machine(self._reader, self._budget, self._found, self._depth + 1).run()
        if array.is_padded:
            self._reader.skip(self._reader.read(1)[0])
        if array.size <= _MAX_TEXT and self._has_room(array.size):
            return self._reader.read(array.size)
        self._reader.skip(array.size)
        return OPAQUE


_SIZES: Final[dict[int, Callable[[Reader], tuple[str, bytes]]]] = {
    pickletools.TAKEN_FROM_ARGUMENT1: lambda reader: ("<B", reader.read(1)),
    pickletools.TAKEN_FROM_ARGUMENT4: lambda reader: ("<i", reader.read(4)),
    pickletools.TAKEN_FROM_ARGUMENT4U: lambda reader: ("<I", reader.read(4)),
    pickletools.TAKEN_FROM_ARGUMENT8U: lambda reader: ("<Q", reader.read(8)),
}

_STEPS: Final[dict[str, Callable[[Machine, Any], None]]] = {
    "PROTO": Machine.proto,
    "FRAME": Machine.nothing,
    "NONE": Machine.none,
    "NEWTRUE": lambda machine, _: machine.boolean(True),
    "NEWFALSE": lambda machine, _: machine.boolean(False),
    "INT": Machine.number,
    "LONG": Machine.number,
    **dict.fromkeys(("BININT", "BININT1", "BININT2"), Machine.binary_number),
    **dict.fromkeys(("LONG1", "LONG4"), Machine.long),
    "FLOAT": Machine.float_,
    "BINFLOAT": Machine.binary_float,
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), Machine.raw),
    **dict.fromkeys(("EMPTY_SET", "NEXT_BUFFER"), Machine.opaque),
    "EMPTY_LIST": Machine.empty_list,
    "READONLY_BUFFER": Machine.touch,
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), Machine.text),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), Machine.latin),
    "STRING": Machine.quoted,
    "UNICODE": Machine.escaped,
    "MARK": Machine.mark,
    "POP": Machine.pop,
    "POP_MARK": Machine.pop_mark,
    "DUP": Machine.dup,
    "EMPTY_TUPLE": lambda machine, _: machine.tuples(0),
    "TUPLE1": lambda machine, _: machine.tuples(1),
    "TUPLE2": lambda machine, _: machine.tuples(2),
    "TUPLE3": lambda machine, _: machine.tuples(3),
    "TUPLE": Machine.tuple_,
    "LIST": Machine.list_,
    "FROZENSET": Machine.frozen_set,
    "DICT": Machine.dict_,
    "EMPTY_DICT": Machine.empty_dict,
    "APPEND": Machine.append,
    **dict.fromkeys(("APPENDS", "ADDITEMS"), Machine.extend),
    "SETITEM": Machine.set_item,
    "SETITEMS": Machine.set_items,
    "PUT": Machine.put,
    "GET": Machine.get,
    "MEMOIZE": Machine.memoize,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), Machine.binary_put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), Machine.binary_get),
    "GLOBAL": Machine.global_,
    "STACK_GLOBAL": Machine.stack_global,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Machine.extension),
    "PERSID": Machine.persistent,
    "BINPERSID": Machine.binary_persistent,
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.new,
    "NEWOBJ_EX": Machine.new_with_keywords,
    "INST": Machine.instance,
    "OBJ": Machine.object_,
    "BUILD": Machine.build,
}
"""The method of each opcode, except STOP."""

_OPCODES: Final = {
    opcode.code.encode("latin-1"): (_STEPS[opcode.name], opcode.arg)
    for opcode in pickletools.opcodes
    if opcode.name != "STOP"
}
