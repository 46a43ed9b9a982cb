"""`ormbfile.yaml`: the metadata that a user writes next to the directory `model/`.

Its fields are those of the ORMB document (`klever.artifacts.document`). The original reads it with Go's yaml.v2: names
match in any case, and a scalar where text is expected is the text as written (`value: 0.10` is "0.10").
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import yaml

from klever.api.documents import read_document
from klever.artifacts import document
from klever.artifacts.metadata import ModelMetadata
from klever.artifacts.schema import normalize
from klever.disk import disk_errors, replace_file
from klever.errors import FieldViolation, InvalidError

__all__ = ["NAME", "read_ormbfile", "write_ormbfile"]

NAME: Final = "ormbfile.yaml"
_MAX_BYTES: Final = 1 << 20
_LINE_BREAKS: Final = frozenset("\x85\u2028\u2029")  # PyYAML writes them unescaped, and reads them as line breaks


def read_ormbfile(path: Path) -> ModelMetadata | None:
    """Return the metadata in the file, or None without a file.

    Raises `InvalidError` that names file and field (`…/ormbfile.yaml: signature.inputs[0].size: must be a list`).
    """
    if not path.exists():
        return None
    with disk_errors(path), path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InvalidError(f"{path} must have at most {_MAX_BYTES} bytes")
    written = read_document(content, str(path), text=True, aliases=False)
    try:
        return document.decode(normalize(written or {}, fold=True))
    except InvalidError as error:
        raise _located(path, error) from error


def write_ormbfile(path: Path, metadata: ModelMetadata) -> None:
    """Write the metadata without `files`, which the directory determines. A failure leaves the old file."""
    fields = document.encode(replace(metadata, files=()))
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    if not _LINE_BREAKS.isdisjoint(text):
        text = yaml.safe_dump(fields, sort_keys=False)
    with disk_errors(path):
        replace_file(path, text.encode())


def _located(path: Path, error: InvalidError) -> InvalidError:
    def at_path(violation: FieldViolation) -> FieldViolation:
        return replace(violation, field=f"{path}: {violation.field}" if violation.field else str(path))

    return InvalidError(violations=tuple(map(at_path, error.violations)), reason=error.reason)
