"""Pages of numbered items: a token holds the number of the next item."""

from __future__ import annotations

from google.protobuf.message import Message

from klever.catalog.catalogue import Version
from klever.server.requests import MAX_PAGE_BYTES, violation

__all__ = ["PageSize", "parse_token"]


def parse_token(token: str) -> int:
    """Return the number of the first item of a page. Raise `InvalidError` for an invalid token."""
    if token and not (token.isascii() and token.isdecimal() and len(token) < 10):
        raise violation("page_token", "invalid page token: start again without a token")
    return int(token or 0)


class PageSize:
    """Counts the bytes of a page that begins with the item `start`, and the bytes that are read for it.

    A page ends before the item that exceeds `MAX_PAGE_BYTES` in either count, but has at least one item.
    """

    def __init__(self, start: int) -> None:
        self._start = self._index = start
        self._bytes = 0
        self._read = 0

    def admits(self, version: Version | None, item: Message | None) -> bool:
        """Count the next item if the page has room for it. Both sizes are None for an item that the filter leaves
        out."""
        is_first = self._index == self._start
        self._bytes += item.ByteSize() if item else 0
        self._read += version.config_bytes if version else 0
        if not is_first and max(self._bytes, self._read) > MAX_PAGE_BYTES:
            return False
        self._index += 1
        return True

    @property
    def token(self) -> str:
        """The token of the first item that did not fit."""
        return str(self._index)
