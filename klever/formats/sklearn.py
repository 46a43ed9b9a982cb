"""scikit-learn, saved with joblib or pickle: the estimator's inputs, outputs, classes and version, read as data."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from klever.errors import InvalidError
from klever.formats.estimator_signature import signature
from klever.formats.files import only_match
from klever.formats.pickled import read_file
from klever.formats.signature import Signature
from klever.pickles.values import type_name

__all__ = ["read_signature"]

_LIMIT: Final = 64 << 30


def read_signature(model: Path) -> Signature:
    """Read the signature. Raises `InvalidError` if the file contains no estimator."""
    path = only_match(model, "*.joblib|*.pkl|*.pickle", _LIMIT)
    found = read_file(path)
    result = signature(found)
    if result is None:
        what = type_name(found.value)
        raise InvalidError(
            f"{path.name} contains a {what[:80]}, not an estimator: save the estimator itself with joblib.dump(), or "
            f"set the format Pickle"
        )
    return result
