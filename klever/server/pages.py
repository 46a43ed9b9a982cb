"""Pages of what is listed by number: a token is the number of the first item that follows."""

from __future__ import annotations

from google.protobuf.message import Message

from klever.catalog.catalogue import Version
from klever.server.requests import MAX_PAGE_BYTES, violation

__all__ = ["PageSize", "parse_token"]


def parse_token(token: str) -> int:
    """Return the number of a page's first item; raises `InvalidError`."""
    if token and not (token.isascii() and token.isdecimal() and len(token) < 10):
        raise violation("page_token", "was not given by this server")
    return int(token or 0)


class PageSize:
    """Counts what a page takes, from the item `start` on: its bytes, and those that are read for it.

    A page ends before the item that goes beyond `MAX_PAGE_BYTES` in either, but has at least one.
    """

    def __init__(self, start: int) -> None:
        self._start = self._index = start
        self._bytes = 0
        self._read = 0

    def admits(self, version: Version | None, item: Message | None) -> bool:
        """Count the next item, if the page has room for it; both are None for one that the page leaves out."""
        is_first = self._index == self._start
        self._bytes += item.ByteSize() if item else 0
        self._read += version.config_bytes if version else 0
        if not is_first and max(self._bytes, self._read) > MAX_PAGE_BYTES:
            return False
        self._index += 1
        return True

    @property
    def token(self) -> str:
        """The token of the first item that was not admitted."""
        return str(self._index)
