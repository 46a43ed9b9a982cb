"""Any pickled object. An estimator is read like scikit-learn's; for others, only the class is known."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from klever.formats.details import Details
from klever.formats.estimator_signature import signature
from klever.formats.files import only_match
from klever.formats.pickled import code_warnings, read_file
from klever.formats.signature import Signature
from klever.pickles.values import type_name

__all__ = ["read_signature"]

_LIMIT: Final = 64 << 30
_UNKNOWN: Final = "the file does not have the inputs and outputs of the object: write the signature into ormbfile.yaml"


def read_signature(model: Path) -> Signature:
    """Read the signature. For an object that is not an estimator, the layers name its class."""
    found = read_file(only_match(model, "*.pkl|*.pickle", _LIMIT))
    known = signature(found)
    if known is not None and known.outputs:
        return known
    name = type_name(found.value)
    return Signature(layers={name: 1}, details=Details(warnings=(_UNKNOWN, *code_warnings(found))))
