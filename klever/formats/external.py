"""Finds the external data of ONNX tensors: files next to the model (onnx.proto, TensorProto.external_data).

A framework opens these files. Every location must be a regular file of the model, and long enough.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from klever.api.wire import Walk, content, text
from klever.errors import InvalidError
from klever.formats.files import check_path, size_inside

__all__ = ["find_locations"]

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_EXTERNAL: Final = 1
_KEY, _VALUE = 1, 2
_MOST_ENTRIES: Final = 16
"""The defined keys: location, offset, length and checksum; some tools add basepath."""


def find_locations(walk: Walk, tensor: memoryview, name: str, model_dir: Path | None) -> list[str]:
    """Return the files with a tensor's data; none if the data is in the model itself.

    Raises `InvalidError` that names the tensor for a file outside the model. With `model_dir` the files must exist and
    be long enough.
    """
    entries: list[tuple[str, str]] = []
    external = False
    for number, value in walk.fields(tensor):
        if number == _EXTERNAL_DATA:
            entries.append(_entry(walk, content(number, value)))
            if len(entries) > _MOST_ENTRIES:
                raise InvalidError(f"the data of tensor {name[:80]!r} has too many locations", reason="EXTERNAL_DATA")
        elif number == _DATA_LOCATION:
            external |= value == _EXTERNAL
    if not entries and not external:
        return []
    what = f"the data of tensor {name[:80]!r}"
    locations = [value for key, value in entries if key == "location"]
    if not locations:
        raise InvalidError(f"{what} is external, but has no location", reason="UNSAFE_PATH")
    for location in locations:  # all of them, because readers differ in which of several they use
        check_path(location, what)
        if model_dir is not None:
            _check_range(dict(entries), size_inside(model_dir, location, what), what)
    return locations


def _entry(walk: Walk, entry: memoryview) -> tuple[str, str]:
    key = value = ""
    for number, field in walk.fields(entry):
        if number == _KEY:
            key = text(field)
        elif number == _VALUE:
            value = text(field)
    return key, value


def _check_range(entries: dict[str, str], size: int, what: str) -> None:
    offset, length = (_number(entries, key, what) for key in ("offset", "length"))
    if offset + length > size:
        raise InvalidError(f"{what} needs {offset + length} bytes, but the file has {size}", reason="EXTERNAL_DATA")


def _number(entries: dict[str, str], key: str, what: str) -> int:
    value = entries.get(key, "0")
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        raise InvalidError(
            f"{what} has the invalid {key} {value[:80]!r}: must be a number of bytes", reason="EXTERNAL_DATA"
        )
    return int(value)
