"""The file of the table of registries (`klever.oci.registries`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from klever.api.documents import read_document
from klever.errors import FailedPreconditionError, InvalidError
from klever.oci.registries import Registries

__all__ = ["read_table"]


def read_table(path: Path) -> dict[str, Any]:
    """Return the table's document, an empty one if there is no file.

    Raises `InvalidError` that names the wrong field, or `FailedPreconditionError` if the file cannot be read.
    """
    try:
        document = read_document(path.read_bytes(), str(path))
    except FileNotFoundError:
        return {"registries": {}}
    except OSError as error:
        raise FailedPreconditionError(f"cannot read {path}: {error.strerror}") from error
    try:
        Registries.parse(document)
    except InvalidError as error:
        raise InvalidError(f"{path}: {error.message}", violations=error.violations) from error
    table: dict[str, Any] = document
    return table
