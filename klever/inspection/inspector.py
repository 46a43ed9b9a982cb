"""Examines every file of an unpacked model, without executing any of it."""

from __future__ import annotations

import lzma
import os
import posixpath
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from klever import formats
from klever.errors import InvalidError
from klever.formats import Trust, hdf5
from klever.formats.onnx import external_data
from klever.inspection import files, keras
from klever.limits import DEFAULTS, Limits
from klever.pickles.names import Pickle
from klever.pickles.reader import read_pickle
from klever.pickles.streams import CODECS, Budget, BudgetError, DamagedError, Inflated, Reader, Source

__all__ = ["Finding", "Inspection", "inspect"]

_HEAD: Final = 512
_KERAS_CONFIG: Final = "config.json"
"""The member of a .keras file from which Keras makes the model."""
_KERAS_WEIGHTS: Final = "model.weights.h5"
_MAX_FINDINGS: Final = 10_000
_MAX_NESTED: Final = 3
_MAX_READ: Final = 4 << 20
"""How many bytes of an archive's directory are read at once."""
_ONNX: Final = "*.onnx"
_UNSAFE_PATH: Final = "UNSAFE_PATH"
_GLOBAL: Final = re.compile(r"[\w.]+|\((?!persistent).*\)")
"""Opcodes that distinguish a pickle from text that begins with the letters of opcodes."""
_NUMPY: Final = b"\x93NUMPY"
_UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, RuntimeError, ValueError, OSError, EOFError
)  # fmt: skip
"""The exceptions of `zipfile` for archives that are damaged, encrypted or unsupported."""
_ZIP: Final = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that can be code. `path` is relative to the model directory, with `!` before an archive's member."""

    path: str
    why: str


@dataclass(slots=True)
class Inspection:
    """The result for some content. `code_formats` are formats of data that would load code from it."""

    files: int = 0
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)
    unsafe_globals: set[str] = field(default_factory=set)
    external_data: list[str] = field(default_factory=list)
    code_formats: list[str] = field(default_factory=list)

    def add(self, path: str, why: str) -> None:
        if len(self.findings) < _MAX_FINDINGS:
            self.findings.append(Finding(path, why))


def inspect(model_dir: Path, limits: Limits = DEFAULTS) -> Inspection:
    """Examine every file below `model_dir`.

    Raises `InvalidError` for a model with more files than the limit, or with external data outside its directory.
    """
    inspector = _Inspector(limits)
    found = inspector.found
    for path, entry in _walk(model_dir, ""):
        found.files += 1
        limits.check("model_files", found.files, "the model")
        if not entry.is_file(follow_symlinks=False):
            found.add(path, "a link or special file")
            continue
        found.bytes += entry.stat(follow_symlinks=False).st_size
        inspector.file(path, Path(entry.path))
    for file in sorted(model_dir.glob(_ONNX)):
        found.external_data.extend(_external_data(file))
    found.code_formats = list(_code_formats(found))
    return found


def _external_data(path: Path) -> list[str]:
    try:
        return external_data(path)
    except InvalidError as error:
        if error.reason == _UNSAFE_PATH:
            raise
        return []  # not an ONNX file: its reader reports that


def _code_formats(found: Inspection) -> Iterator[str]:
    for name in formats.names():
        row = formats.get(name)
        loaded = any(row.loads(finding.path) for finding in found.findings)
        if row.trust is Trust.DATA and (loaded or not found.files):
            yield name


def _walk(directory: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(directory) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{path}/")
        else:
            yield path, entry


class _Bounded:
    """A file that bounds the memory of each read."""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1, /) -> bytes:
        if size > _MAX_READ:
            raise zipfile.BadZipFile(f"one of its parts has {size} bytes")
        content = self._file.read(_MAX_READ if size < 0 else size)
        self._budget.read(len(content))
        return content


class _Inspector:
    def __init__(self, limits: Limits) -> None:
        self.found = Inspection()
        self._budget = Budget.of(limits)

    def file(self, path: str, place: Path) -> None:
        """Examine one file. A file that cannot be read counts as code."""
        if why := files.by_name(path):
            self.found.add(path, why)
        try:
            with place.open("rb") as file:
                self._stream(path, lambda: _rewound(file), 0)
                if hdf5.starts(file):
                    self._hdf5(path, place)
                self._zip(path, file)
        except (BudgetError, DamagedError) as error:
            self.found.add(path, f"inspection stopped: {error}")

    def _stream(self, path: str, again: Callable[[], Source], depth: int) -> None:
        """Examine a stream. `again` reopens it at its beginning."""
        head = _head(again())
        if why := files.by_content(head):
            self.found.add(path, why)
        if head.startswith(_NUMPY):
            self._numpy(path, again())
        codec = next((make for magic, make in CODECS if head.startswith(magic)), None)
        if codec is not None:
            self._compressed(path, lambda: Inflated(again(), codec), depth)
        is_pickle = files.is_marked_pickle(head) or (codec is None and files.is_named_pickle(path))
        if (is_pickle or files.may_be_pickle(head)) and not head.startswith(_ZIP):
            self._pickle(path, again(), certain=is_pickle)

    def _compressed(self, path: str, again: Callable[[], Source], depth: int) -> None:
        if depth == _MAX_NESTED:
            self.found.add(path, "too many nested compressed streams")
            return
        try:
            self._stream(path, again, depth + 1)
        except DamagedError:
            if files.is_named_pickle(path):  # any file may begin like a compressed stream by chance
                self.found.add(path, "a damaged compressed stream")

    def _pickle(self, path: str, source: Source, *, certain: bool) -> None:
        """Examine a pickle, or a file that begins like one: it is a pickle if it looks up a global."""
        pickle = read_pickle(source, self._budget)
        if certain or any(_GLOBAL.fullmatch(name) for name in pickle.unsafe):
            self._note(path, pickle)

    def _note(self, path: str, pickle: Pickle) -> None:
        self.found.unsafe_globals |= pickle.unsafe
        if pickle.unsafe:
            self.found.add(path, f"a pickle that names {', '.join(sorted(pickle.unsafe)[:3])}")
        elif pickle.damaged:
            self.found.add(path, f"a pickle that cannot be followed: {pickle.damaged}")

    def _numpy(self, path: str, source: Source) -> None:
        """Examine an array file: an array of objects is a pickle behind a header (numpy/lib/format.py)."""
        reader = Reader(source, self._budget)
        version = reader.read(8)[6]
        size = int.from_bytes(reader.read(2 if version == 1 else 4), "little")
        if size > _HEAD << 7:
            self.found.add(path, "an array with a header that is too long")
        elif b"O" in reader.read(size):
            self._note(path, read_pickle(_Rest(reader), self._budget))

    def _hdf5(self, path: str, place: Path) -> None:
        for name in ("model_config", "training_config"):
            try:
                config = hdf5.read_attribute(place, name, keras.MAX_CONFIG)
            except hdf5.UnreadableError as error:
                self.found.add(path, f"an HDF5 file whose {name} cannot be read: {error}")
                return
            self._budget.read(len(config or b""))
            if config is not None and (why := keras.code_in_config(config)):
                self.found.add(path, f"a Keras model with {why}")
                return

    def _zip(self, path: str, file: BinaryIO) -> None:
        try:
            if not zipfile.is_zipfile(file):
                if _head(_rewound(file)).startswith(_ZIP):
                    self.found.add(path, "a truncated archive")
                return
            with zipfile.ZipFile(_Bounded(file, self._budget)) as archive:
                names: set[str] = set()
                for member in archive.infolist():
                    self._budget.member()
                    name = posixpath.normpath(member.filename).lower()
                    if name in names:  # readers differ in which of them they read
                        self.found.add(f"{path}!{member.filename}", "a second member of the same name")
                    names.add(name)
                    if not member.is_dir():
                        self._member(f"{path}!{member.filename}", archive, member)
        except _UNREADABLE as error:
            self.found.add(path, f"an archive that cannot be read: {error}")

    def _member(self, path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        if why := files.by_name(path):
            self.found.add(path, why)
        with archive.open(member) as first:
            head = first.read(_HEAD)
        if stat.S_ISLNK(member.external_attr >> 16):
            self.found.add(path, "a link")
        if head.startswith(hdf5.SIGNATURE) and path.partition("!")[2] == _KERAS_WEIGHTS:
            return  # Keras reads only arrays from it
        if head.startswith((_ZIP, hdf5.SIGNATURE)):
            self.found.add(path, "an archive or HDF5 file inside an archive, which cannot be inspected")
            return
        if posixpath.basename(path.rpartition("!")[2]).lower() == _KERAS_CONFIG:
            self._keras_config(path, archive, member)
        with ExitStack() as stack:
            self._stream(path, lambda: stack.enter_context(archive.open(member)), 1)

    def _keras_config(self, path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        with archive.open(member) as file:
            config = file.read(keras.MAX_CONFIG + 1)
        self._budget.read(len(config))
        if len(config) > keras.MAX_CONFIG:
            self.found.add(path, "a configuration that is too long")
        elif why := keras.code_in_config(config):
            self.found.add(path, f"a Keras model with {why}")


class _Rest:
    """The unread rest of a reader, as a source."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, size: int, /) -> bytes:
        return b"" if self._reader.ended() else self._reader.take(size)


def _head(source: Source) -> bytes:
    head = b""
    while len(head) < _HEAD and (part := source.read(_HEAD - len(head))):
        head += part
    return head


def _rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file
