"""The stack and the memo of an unpickler, with symbols for values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from klever.pickles.names import Pickle
from klever.pickles.streams import DamagedError, Reader

__all__ = ["MAX_ITEMS", "OPAQUE", "Global", "Made", "Opaque", "Stack"]

MAX_ITEMS: Final = 32
"""How many items of a tuple or dictionary are always kept: more than describe an array."""
_MAX_ENTRIES: Final = 512
"""How many entries of a dictionary are kept: more than an object's state has."""
_MAX_LIST: Final = 10_000
"""How many items of a list are kept."""
_MAX_TEXTS: Final = 16 << 20
"""How many characters of text are kept per pickle."""
_MAX_CONTENT: Final = 16 << 20
"""How many bytes of arrays, lists and larger dictionaries are kept per pickle."""
_ITEM: Final = 64
"""How many bytes an item counts."""
_MAX_STACK: Final = 1 << 18
_MAX_MEMO: Final = 1 << 18


class Opaque:
    """A value that is irrelevant or unknown."""


OPAQUE: Final = Opaque()


@dataclass(frozen=True, slots=True)
class Global:
    name: str
    """A global, as MODULE.NAME."""


@dataclass(slots=True)
class Made:
    """The result of a call. `of` is what was called."""

    of: str
    args: object
    state: object = None
    content: object = None
    """The data after the state in the stream: the bytes of a small array, or the value of a pickle."""


class Stack:
    """The state of an unpickler, as in CPython's `Modules/_pickle.c`."""

    def __init__(self, reader: Reader, found: Pickle) -> None:
        self._reader = reader
        self._found = found
        self._stack: list[Any] = []
        self._marks: list[int] = []
        """The height of the stack at each open mark."""
        self._memo: dict[int, Any] = {}
        self._texts = self._content = 0
        """The number of kept values."""

    def _check(self) -> None:
        if len(self._stack) > _MAX_STACK or len(self._marks) > _MAX_STACK or len(self._memo) > _MAX_MEMO:
            raise self._lost("too large to follow")

    def _damaged(self, what: str) -> DamagedError:
        """Return the error of a fault at which every unpickler stops."""
        return DamagedError(f"{what} at byte {self._reader.position}")

    def _lost(self, what: str) -> DamagedError:
        """Return the error of an operation that this machine cannot follow: the rest of the pickle is unknown."""
        self._found.suspect(f"({what})")
        return self._damaged(what)

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._damaged("the stack is empty")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise self._damaged("no mark is open")
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _has_room(self, size: int) -> bool:
        """Return whether there is room for so many bytes of content, and count them."""
        if self._content + size > _MAX_CONTENT:
            return False
        self._content += size
        return True

    def _keep(self, text: str | None) -> object:
        """Return a text, or an opaque value if all texts together are too long."""
        if text is None:
            return OPAQUE
        self._texts += len(text)
        return text if self._texts <= _MAX_TEXTS else OPAQUE

    def _extend(self, target: object, items: list[Any]) -> None:
        if not isinstance(target, list) or len(target) > _MAX_LIST:
            return
        kept = items[: _MAX_LIST - len(target)]
        if not self._has_room(len(kept) * _ITEM):
            kept = []
        target.extend(kept)
        if len(kept) < len(items):
            target.append(OPAQUE)  # further items are unknown

    def _set(self, target: object, items: list[Any]) -> None:
        if not isinstance(target, dict):
            return
        for key, value in zip(items[::2], items[1::2], strict=False):
            target[key if isinstance(key, str) else OPAQUE] = value
            size = len(target)
            if size > MAX_ITEMS and (size > _MAX_ENTRIES or not self._has_room(_ITEM)):
                target.clear()
                target[OPAQUE] = OPAQUE  # any of its entries may have changed

    # Opcodes of the memo

    def put(self, argument: bytes | None) -> None:
        self._memo[self._index(argument)] = self._top()

    def get(self, argument: bytes | None) -> None:
        index = self._index(argument)
        if index not in self._memo:
            raise self._damaged(f"the memo has no entry {index}")
        self._push(self._memo[index])

    def memoize(self, _argument: object) -> None:
        self._memo[len(self._memo)] = self._top()

    def binary_put(self, argument: bytes) -> None:
        self._memo[int.from_bytes(argument, "little")] = self._top()

    def binary_get(self, argument: bytes) -> None:
        self.get(str(int.from_bytes(argument, "little")).encode())

    def _index(self, argument: bytes | None) -> int:
        if argument is None:
            raise self._lost("an index is too long")
        try:
            index = int(argument)
        except ValueError as error:
            raise self._damaged("an index must be a number") from error
        if not 0 <= index < 1 << 63:
            raise self._damaged(f"invalid index {index}")
        return index
