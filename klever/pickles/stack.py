"""The stack and the memo of an unpickler, with symbols for values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from klever.pickles.names import Pickle
from klever.pickles.streams import DamagedError, Reader

__all__ = ["MAX_ITEMS", "OPAQUE", "Global", "Made", "Opaque", "Stack"]

MAX_ITEMS: Final = 32
"""Items of a tuple or dictionary that are always kept: those that describe an array have fewer."""
_MAX_ENTRIES: Final = 512
"""Entries of a dictionary that are kept: those of an object's state are fewer."""
_MAX_LIST: Final = 10_000
"""Items of a list that are kept."""
_MAX_TEXTS: Final = 16 << 20
"""Characters of text that are kept of one pickle."""
_MAX_CONTENT: Final = 16 << 20
"""Bytes of arrays, lists and larger dictionaries that are kept of one pickle."""
_ITEM: Final = 64
"""Bytes that an item counts."""
_MAX_STACK: Final = 1 << 18
_MAX_MEMO: Final = 1 << 18


class Opaque:
    """A value that does not matter, or that is not known."""


OPAQUE: Final = Opaque()


@dataclass(frozen=True, slots=True)
class Global:
    name: str
    """Module and name, with a dot between."""


@dataclass(slots=True)
class Made:
    """What a call made. `of` is what was called."""

    of: str
    args: object
    state: object = None
    content: object = None
    """What followed the state in the stream: the bytes of a small array, or the value that a pickle there made."""


class Stack:
    """What opcodes work on, as CPython's `Modules/_pickle.c` has it."""

    def __init__(self, reader: Reader, found: Pickle) -> None:
        self._reader = reader
        self._found = found
        self._stack: list[Any] = []
        self._marks: list[int] = []
        """How high the stack was at each mark that is open."""
        self._memo: dict[int, Any] = {}
        self._texts = self._content = 0
        """What is kept."""

    def _check(self) -> None:
        if len(self._stack) > _MAX_STACK or len(self._marks) > _MAX_STACK or len(self._memo) > _MAX_MEMO:
            raise self._lost("it is too large to be followed")

    def _damaged(self, what: str) -> DamagedError:
        """What every unpickler refuses: the pickle ends here."""
        return DamagedError(f"{what} at byte {self._reader.position}")

    def _lost(self, what: str) -> DamagedError:
        """What an unpickler may go on from, and this machine cannot: the rest may be anything."""
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
            raise self._damaged("there is no mark")
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _has_room(self, size: int) -> bool:
        """Say whether there is room for so many bytes of content, and count them if there is."""
        if self._content + size > _MAX_CONTENT:
            return False
        self._content += size
        return True

    def _keep(self, text: str | None) -> object:
        """Return a text, as long as texts do not fill the memory."""
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
            target.append(OPAQUE)  # something follows that is not known

    def _set(self, target: object, items: list[Any]) -> None:
        if not isinstance(target, dict):
            return
        for key, value in zip(items[::2], items[1::2], strict=False):
            target[key if isinstance(key, str) else OPAQUE] = value
            size = len(target)
            if size > MAX_ITEMS and (size > _MAX_ENTRIES or not self._has_room(_ITEM)):
                target.clear()
                target[OPAQUE] = OPAQUE  # whatever was in it is not known any more

    # Opcodes of the memo

    def put(self, argument: bytes | None) -> None:
        self._memo[self._index(argument)] = self._top()

    def get(self, argument: bytes | None) -> None:
        index = self._index(argument)
        if index not in self._memo:
            raise self._damaged(f"nothing is kept as {index}")
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
            raise self._damaged("an index is not a number") from error
        if not 0 <= index < 1 << 63:
            raise self._damaged(f"an index is {index}")
        return index
