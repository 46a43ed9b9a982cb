"""Reads members of a zip file, with bounds on the memory of its directory and of a member."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from klever.errors import InvalidError

__all__ = ["open_zip", "read_head", "read_member"]

_MAX_DIRECTORY: Final = 8 << 20
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_MAX_COMMENT: Final = 65_535
_UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError, OSError, ValueError,
    struct.error, KeyError,
)  # fmt: skip
"""The errors of zipfile for damaged (most of them), encrypted (RuntimeError) and unsupported members."""


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file. Raises `InvalidError` if it is not one, or if its directory has more than 8 MiB."""
    with path.open("rb") as file:
        _check_directory(file)
        with _readable(path.name):
            archive = zipfile.ZipFile(file)
        with archive:
            yield archive


def read_head(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Return at most the first `size` bytes of a member. Raises `InvalidError` if it cannot be read."""
    with _readable(name), archive.open(name) as member:
        return member.read(size)


def read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return a member's content. Raises `InvalidError` if it cannot be read, or has more than `limit` bytes."""
    content = read_head(archive, name, limit + 1)
    if len(content) > limit:
        raise InvalidError(f"{name[:80]} must have at most {limit} bytes")
    return content


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise InvalidError(f"cannot read {name[:80]}: {error}") from error


def _check_directory(file: BinaryIO) -> None:
    """Check the sizes in the end records (APPNOTE.TXT 4.3.14 and 4.3.16) before zipfile reads the directory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _MAX_COMMENT - 22 - 20 - 56))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0:
        raise InvalidError("it is not a zip file: its end record is missing")
    sizes = [struct.unpack_from("<I", tail, at + 12)[0]]
    at_64 = tail.rfind(_END_64, 0, at)
    if at_64 >= 0:
        sizes.append(struct.unpack_from("<Q", tail, at_64 + 40)[0])
    directory = min(sizes)
    if directory > _MAX_DIRECTORY:
        raise InvalidError(f"its directory must have at most {_MAX_DIRECTORY} bytes, not {directory}")
