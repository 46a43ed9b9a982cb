"""Models of Keras 3: config.json in a zip file, and the size of model.weights.h5 (keras/src/saving/saving_lib.py)."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final
from zipfile import ZIP_STORED, ZipFile

from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.files import only_match
from klever.formats.hdf5_groups import count_datasets
from klever.formats.hdf5_objects import UnreadableError
from klever.formats.keras_config import MAX_CONFIG, signature_in
from klever.formats.signature import Signature
from klever.formats.zips import open_zip, read_member

__all__ = ["read_signature"]

_LIMIT: Final = 16 << 30
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MAX_METADATA: Final = 64 << 10
_MAX_TEXT: Final = 200
_HEADER: Final = 30
"""Bytes of a local file header (APPNOTE.TXT 4.3.7) before the name."""


def read_signature(model_dir: Path) -> Signature:
    """Read the signature: inputs are the input layers, outputs the output layers with inferred shapes."""
    path = only_match(model_dir, "*.keras", _LIMIT)
    try:
        with open_zip(path) as archive:
            members = set(archive.namelist())
            config = read_member(archive, _CONFIG, MAX_CONFIG)
            details = _metadata(archive) if _METADATA in members else Details(format_version="Keras 3")
            with path.open("rb") as file:
                details = _with_weights(archive, file, details) if _WEIGHTS in members else details
    except InvalidError as error:
        raise InvalidError(f"{path.name} is not a model of Keras 3: {error.message}") from error
    return signature_in(config, f"{path.name}: its {_CONFIG}", details)


def _metadata(archive: ZipFile) -> Details:
    try:
        metadata = json.loads(read_member(archive, _METADATA, _MAX_METADATA))
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{_METADATA} is not valid JSON: {error}") from error
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return Details(
        format_version="Keras 3", producer=f"Keras {version[:_MAX_TEXT]}" if isinstance(version, str) else ""
    )


def _with_weights(archive: ZipFile, file: BinaryIO, details: Details) -> Details:
    """Count the weights in the archive, where Keras does not compress them."""
    member = archive.getinfo(_WEIGHTS)
    if member.compress_type != ZIP_STORED:
        return replace(details, warnings=(f"{_WEIGHTS} is compressed: the weights are not counted",))
    file.seek(member.header_offset)
    header = file.read(_HEADER)
    if len(header) != _HEADER:
        raise InvalidError(f"{_WEIGHTS} is missing")
    name, extra = struct.unpack("<HH", header[26:])
    part = _Part(file, member.header_offset + _HEADER + name + extra, member.file_size)
    try:
        weights = count_datasets(part)
    except UnreadableError as error:
        raise InvalidError(f"{_WEIGHTS} is not an HDF5 file: {error}") from error
    return replace(details, parameters=weights.parameters, parameter_bytes=weights.bytes)


class _Part:
    """A part of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset + (self._size if whence else 0)
        return self._at

    def read(self, size: int, /) -> bytes:
        self._file.seek(self._start + self._at)
        content = self._file.read(max(0, min(size, self._size - self._at)))
        self._at += len(content)
        return content
