"""Reads the signature of a Toy model. It runs in the sandbox of a task, and the model is not trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from klever.errors import InvalidError
from klever.formats import Signature, Tensor
from klever.formats.files import only_match

__all__ = ["read_signature"]

_MAX_BYTES: Final = 1 << 20


def read_signature(model_dir: Path) -> Signature:
    """Return the signature; raises `InvalidError` that names the file."""
    path = only_match(model_dir, "*.toy", _MAX_BYTES)
    try:
        features = len(json.loads(path.read_text())["slope"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidError(f"{path.name} is not a Toy model: expected a JSON object with a list `slope`") from error
    return Signature((Tensor("x", (-1, features), "float64"),), (Tensor("y", (-1,), "float64"),), {"Linear": 1})
