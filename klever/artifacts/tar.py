"""Writes tar headers as POSIX.1-2001 (pax), and reads them in every common format, with bounds on their size.

`tarfile` reads extended headers of any size into memory. This reader accepts regular files and directories, and rejects
every other entry by name.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from klever.errors import InvalidError

__all__ = ["END", "Entry", "header", "padding", "read_entries"]

_RECORD: Final = 512
_MAX_EXTENDED: Final = 64 << 10
_MAX_DIGITS: Final = 18
_MAX_HEADERS: Final = 16
"""The most extended headers in a row. Writers put at most three or four before an entry."""
END: Final = bytes(2 * _RECORD)
"""The end of an archive."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file or a directory. `read(n)` returns its next bytes; unread ones are skipped."""

    name: str
    is_directory: bool
    size: int
    read: Callable[[int], bytes]


def header(name: str, size: int) -> bytes:
    """Return the header of a regular file: mode 0644, owner 0, time 0, so that equal files make equal archives."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(size: int) -> bytes:
    """Return the zeros that fill the last record of a file of `size` bytes."""
    return bytes(-size % _RECORD)


def read_entries(read: Callable[[int], bytes]) -> Iterator[Entry]:
    """Yield the entries of the tar stream behind `read` (n -> at most n bytes, empty at its end).

    Raises `InvalidError` on a damaged header, a truncated stream, a link, device or sparse file, naming the entry.
    """
    extended: dict[str, str] = {}
    headers = 0
    while (info := _next_header(read, extended)) is not None:
        name, size = extended.get("path", info.name), _size(extended, info)
        if info.type in {tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE}:
            headers += 1
            if headers > _MAX_HEADERS:
                raise InvalidError("the archive has too many extended headers in a row", reason="ARCHIVE_UNSAFE")
            extended = _extended_header(read, info, extended)
            continue
        if info.type not in {*tarfile.REGULAR_TYPES, tarfile.DIRTYPE} or info.type == tarfile.GNUTYPE_SPARSE:
            raise InvalidError(f"archive entry {name!r} must be a file or a directory", reason="ARCHIVE_UNSAFE")
        entry = _Body(read, name, 0 if info.type == tarfile.DIRTYPE else size)
        yield Entry(name, info.type == tarfile.DIRTYPE, entry.left, entry.take)
        entry.skip()
        extended, headers = {}, 0


class _Body:
    def __init__(self, read: Callable[[int], bytes], name: str, size: int) -> None:
        self._read = read
        self._name = name
        self._padding = len(padding(size))
        self.left = size

    def take(self, count: int) -> bytes:
        if not self.left:
            return b""
        block = self._read(min(count, self.left))
        if not block:
            raise InvalidError(f"archive entry {self._name!r} is cut short", reason="ARCHIVE_DAMAGED")
        self.left -= len(block)
        return block

    def skip(self) -> None:
        while self.take(_MAX_EXTENDED):
            pass
        _read_exactly(self._read, self._padding, self._name)


def _next_header(read: Callable[[int], bytes], extended: dict[str, str]) -> tarfile.TarInfo | None:
    block = _read_exactly(read, _RECORD, extended.get("path", "header"))
    if not block.strip(b"\0"):
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise InvalidError(f"the archive has a damaged header: {error}", reason="ARCHIVE_DAMAGED") from error
    if info.size < 0:
        raise InvalidError(f"archive entry {info.name!r} has a negative size", reason="ARCHIVE_DAMAGED")
    return info


def _extended_header(read: Callable[[int], bytes], info: tarfile.TarInfo, extended: dict[str, str]) -> dict[str, str]:
    """Return the fields of an extended header for the next entry. Global headers are ignored."""
    if info.size > _MAX_EXTENDED:
        raise InvalidError(f"the archive has an extended header of {info.size} bytes", reason="ARCHIVE_UNSAFE")
    content = _read_exactly(read, info.size + len(padding(info.size)), info.name)[: info.size]
    if info.type == tarfile.XGLTYPE:
        return extended
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return extended | {"path": content.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    return extended | dict(_pax_records(content))


def _pax_records(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield the records `LENGTH KEY=VALUE\\n` (POSIX.1-2001, pax Extended Header)."""
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or len(length) > _MAX_DIGITS or not len(length) < int(length) <= len(content):
            raise InvalidError("the archive has a damaged extended header", reason="ARCHIVE_DAMAGED")
        record = content[len(length) + 1 : int(length) - 1]
        key, _, value = record.decode("utf-8", "surrogateescape").partition("=")
        if key.startswith("GNU.sparse"):
            raise InvalidError("the archive has a sparse file, which is not supported", reason="ARCHIVE_UNSAFE")
        yield key, value
        content = content[int(length) :]


def _size(extended: dict[str, str], info: tarfile.TarInfo) -> int:
    text = extended.get("size")
    if text is None or info.type in {tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE}:
        return info.size
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise InvalidError(f"archive entry {info.name!r} has the invalid size {text!r}", reason="ARCHIVE_DAMAGED")
    return int(text)


def _read_exactly(read: Callable[[int], bytes], count: int, name: str) -> bytes:
    parts = []
    while count:
        block = read(count)
        if not block:
            raise InvalidError(f"the archive is cut short at {name!r}", reason="ARCHIVE_DAMAGED")
        parts.append(block)
        count -= len(block)
    return b"".join(parts)
