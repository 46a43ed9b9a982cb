"""A limit on the bytes that all holders have together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from klever.errors import ExhaustedError

__all__ = ["SMALL", "Budget"]

SMALL = 64 << 10
"""Bytes of what needs no place in a budget. The limit on requests at a time bounds these."""


class Budget:
    """At most `most` bytes at a time. `what` names them in the refusal.

    Callers without a token have at most three quarters, so that others find room.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._used = 0
        self._anonymous = 0

    def take(self, count: int, *, anonymous: bool = False) -> Callable[[], None]:
        """Take bytes, and return the function that gives them back. Raises `ExhaustedError` beyond the limit."""
        most = self._most * 3 // 4 if anonymous else self._most
        if (self._anonymous if anonymous else self._used) + count > most:
            raise ExhaustedError(f"{self._what} take {most} bytes: try again later", reason="TOOMANYREQUESTS")
        self._used += count
        self._anonymous += count if anonymous else 0

        def give_back() -> None:
            self._used -= count
            self._anonymous -= count if anonymous else 0

        return give_back

    @contextmanager
    def held(self, *, anonymous: bool = False) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes bytes until the context ends. It raises the errors of `take`."""
        taken = list[Callable[[], None]]()
        try:
            yield lambda count: taken.append(self.take(count, anonymous=anonymous))
        finally:
            for give_back in taken:
                give_back()
