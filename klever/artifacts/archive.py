"""Gzip'd tar archives of model files, written reproducibly and unpacked without trust.

Unpacking creates regular files and directories only, opens directories without following links, and bounds bytes,
files, names and expansion: a malicious archive can only cause an error. Bytes after the end of the tar are ignored.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

from klever.artifacts import tar
from klever.disk import disk_errors
from klever.errors import InvalidError
from klever.limits import DEFAULTS, Limits
from klever.oci.blobs import BLOCK, write_all
from klever.oci.progress import Progress, no_progress

__all__ = ["pack", "unpack"]

_GZIP: Final = 31  # zlib's window bits for a gzip member with a plain header: time 0, no name
_PROBE: Final = 1 << 20
_WORTH_COMPRESSING: Final = 0.9
_MAX_NAME: Final = 255
_RATIO_FROM: Final = 256 << 20
"""The ratio is checked above so many bytes, because small files of zeros are common."""
_MEMBERS: Final = 1000
_MEMBER: Final = 4096
"""The least bytes of content per gzip member, on average, after the first 1,000 members."""


def pack(
    directory: Path, names: list[str], write: Callable[[bytes], None], *, progress: Progress = no_progress
) -> None:
    """Write the files `names` of `directory` as one gzip'd tar, in pieces, to `write`.

    Equal names and contents give equal bytes. Content that does not shrink, such as trained weights, is stored
    uncompressed: reading it back is cheap, and packing runs at the speed of the checksum.
    """
    with disk_errors(directory):
        sizes = {name: (directory / name).stat().st_size for name in names}
    gzip = zlib.compressobj(_level(directory / max(names, key=lambda name: sizes[name])), zlib.DEFLATED, _GZIP)
    done, total = 0, sum(sizes.values())
    for name in names:
        write(gzip.compress(tar.header(name, sizes[name])))
        for block in _blocks(directory / name, sizes[name]):
            write(gzip.compress(block))
            done += len(block)
            progress(done, total)
        write(gzip.compress(tar.padding(sizes[name])))
    write(gzip.compress(tar.END) + gzip.flush())


def unpack(read: Callable[[int], bytes], target: Path, *, limits: Limits = DEFAULTS) -> list[str]:
    """Unpack a gzip'd tar into the directory `target`. Return the names of the files in their order.

    `read(n)` returns at most n bytes of the archive, none at its end.

    Raises `InvalidError` that names the entry if the archive is damaged, unsafe or beyond `limits`, and
    `ExhaustedError` on a full disk. An error leaves the files that were already unpacked: unpack into a separate
    directory.
    """
    names = []
    stream = _Inflater(read, limits)
    with disk_errors(target), _directory(target) as handle:
        tree = _Tree(handle, limits)
        for entry in tar.read_entries(stream.read):
            parts = _safe_parts(entry.name, limits)
            tree.count()
            if entry.is_directory:
                tree.make(parts)
            elif not parts:
                raise _unsafe(entry.name, "is a file without a name")
            else:
                tree.write(parts, entry)
                names.append("/".join(parts))
    while stream.read(BLOCK):
        pass  # read to the end, to verify gzip's checksum
    return names


def _level(largest: Path) -> int:
    """Return the level of compression: 1 if the beginning of the file shrinks, else 0."""
    with disk_errors(largest), largest.open("rb") as file:
        probe = file.read(_PROBE)
    return 1 if len(zlib.compress(probe, 1)) < _WORTH_COMPRESSING * len(probe) else 0


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    """Yield the file's content. Raises `InvalidError` unless it still has `size` bytes."""
    left = size
    with disk_errors(path), path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            left -= len(block)
            if left < 0:
                break
            yield block
    if left:
        raise InvalidError(f"{path} changed while it was read: try again when no program writes it")


class _Inflater:
    """Reads gzip, one member after another, within the limits."""

    def __init__(self, source: Callable[[int], bytes], limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._member = zlib.decompressobj(_GZIP)
        self._rest = b""
        self._taken = self._given = 0
        self._members = 1

    def read(self, count: int) -> bytes:
        """Return at most `count` bytes, none at the end."""
        while True:
            if self._member.eof:
                self._rest = self._member.unused_data.lstrip(b"\0") or self._source(BLOCK).lstrip(b"\0")
                if not self._rest:
                    return b""
                self._next_member()
            block = self._inflate(count)
            if block:
                return block

    def _inflate(self, count: int) -> bytes:
        if not self._rest:
            self._rest = self._source(BLOCK)
            if not self._rest:
                raise InvalidError("the archive is cut short", reason="ARCHIVE_DAMAGED")
        try:
            block = self._member.decompress(self._rest, count)
        except zlib.error as error:
            raise InvalidError(
                f"the archive is damaged or not in gzip format: {error}", reason="ARCHIVE_DAMAGED"
            ) from error
        left = self._member.unconsumed_tail
        self._taken += len(self._rest) - len(left) - len(self._member.unused_data)
        self._given += len(block)
        self._rest = left
        self._check()
        return block

    def _next_member(self) -> None:
        self._members += 1
        if self._members > _MEMBERS + self._given // _MEMBER:
            raise InvalidError(
                f"the archive has {self._members} gzip members, most of them almost empty", reason="ARCHIVE_UNSAFE"
            )
        self._member = zlib.decompressobj(_GZIP)

    def _check(self) -> None:
        if self._given > self._limits.model_bytes:
            raise self._limits.exceeded("model_bytes", "the archive")
        if self._given > _RATIO_FROM and self._given > self._limits.archive_ratio * self._taken:
            raise self._limits.exceeded("archive_ratio", "the expansion of the archive")


def _safe_parts(name: str, limits: Limits) -> list[str]:
    """Return the components of an entry's name, none for the directory itself."""
    if name.startswith("/"):
        raise _unsafe(name, "has an absolute name")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in name:
        raise _unsafe(name, "is outside the directory of the archive")
    encoded = os.fsencode(name)
    if not _is_utf8(encoded):
        raise _unsafe(name, "has a name that is not UTF-8")
    if len(encoded) > limits.path_bytes:
        raise limits.exceeded("path_bytes", f"the name of archive entry {name[:80]!r}")
    if len(parts) > limits.path_depth:
        raise limits.exceeded("path_depth", f"the name of archive entry {name[:80]!r}")
    if any(len(os.fsencode(part)) > _MAX_NAME for part in parts):
        raise _unsafe(name[:80], "has a name that is too long")
    return parts


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Tree:
    """The tree of an unpacked archive below the open directory `root`. Entries and directories count as files."""

    def __init__(self, root: int, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._count = 0

    def count(self) -> None:
        self._count += 1
        if self._count > self._limits.model_files:
            raise self._limits.exceeded("model_files", "the archive")

    def make(self, parts: list[str]) -> None:
        """Create the directory `parts` if it is missing."""
        with ExitStack() as stack:
            self._enter(parts, stack)

    def write(self, parts: list[str], entry: tar.Entry) -> None:
        """Write the file `parts`, which must not exist yet."""
        with ExitStack() as stack:
            parent = self._enter(parts[:-1], stack)
            try:
                handle = os.open(parts[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=parent)
            except FileExistsError as error:
                raise _unsafe(entry.name, "occurs twice") from error
            with FileIO(handle, "wb") as file:
                while block := entry.read(BLOCK):
                    write_all(file, block)

    def _enter(self, parts: list[str], stack: ExitStack) -> int:
        """Return a descriptor of the directory `parts`, which is created if it is missing. `stack` closes it."""
        handle = self._root
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=handle)
                self.count()
            try:
                handle = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            except NotADirectoryError as error:
                raise _unsafe("/".join(parts), "has a file where a directory must be") from error
            stack.callback(os.close, handle)
        return handle


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)


def _unsafe(name: str, why: str) -> InvalidError:
    return InvalidError(f"archive entry {name!r} {why}", reason="ARCHIVE_UNSAFE")
