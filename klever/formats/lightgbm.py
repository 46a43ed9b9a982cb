"""LightGBM models in its text format, or as the JSON of `dump_model`. Trees are skipped.

Source: LightGBM's src/boosting/gbdt_model_text.cpp. The header ends with the first tree. `tree_sizes` has a number for
each tree.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from klever.errors import InvalidError
from klever.formats.classes import numbered
from klever.formats.details import Details
from klever.formats.files import only_match
from klever.formats.json_stream import JsonError, read_json
from klever.formats.signature import Signature, Tensor

__all__ = ["FILES", "read_signature"]

FILES: Final = "*.txt|*.lightgbm|*.lgb|model.json"
_LIMIT: Final = 64 << 30
_MAX_HEADER: Final = 16 << 20
_MAX_LINES: Final = 1000
_PASSED_OVER: Final = (
    "tree_info", "feature_infos", "monotone_constraints", "feature_importances", "pandas_categorical",
)  # fmt: skip
_NOT_LOADED: Final = (
    "LightGBM cannot load the JSON of dump_model(): save the model with booster.save_model('model.txt')"
)


def read_signature(model: Path) -> Signature:
    """Read the signature. The output is that of `Booster.predict`."""
    path = only_match(model, FILES, _LIMIT)
    with path.open("rb") as file:
        is_json = file.read(64).lstrip()[:1] == b"{"
        file.seek(0)
        try:
            return _of_json(file) if is_json else _of_text(file)
        except (InvalidError, JsonError) as error:
            raise InvalidError(f"{path.name} is not a LightGBM model: {error}; copy it again") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidError(
                f"{path.name} is not a LightGBM model: {type(error).__name__} {str(error)[:100]}; save it again with "
                f"booster.save_model()"
            ) from error


def _of_json(file: BinaryIO) -> Signature:
    document = read_json(file, _PASSED_OVER)
    if document["name"] != "tree":
        raise InvalidError(f"its name must be 'tree', not {str(document['name'])[:40]!r}")
    names = tuple(map(str, document["feature_names"]))
    return _signature(document, names, int(document["tree_info"]), (_NOT_LOADED,))


def _of_text(file: BinaryIO) -> Signature:
    header: dict[str, str] = {}
    if file.readline(64).strip() != b"tree":
        raise InvalidError("its first line must be `tree`")
    left = _MAX_HEADER
    while (line := file.readline(left)).strip():
        left -= len(line)
        if left <= 0 or len(header) > _MAX_LINES:
            raise InvalidError(f"its header has more than {_MAX_HEADER} bytes or {_MAX_LINES} lines")
        name, _, value = line.decode(errors="replace").rstrip("\r\n").partition("=")
        header[name] = value
    sizes = [int(size) for size in header.get("tree_sizes", "").split()]
    if not line or file.tell() + sum(sizes) > os.fstat(file.fileno()).st_size:
        raise InvalidError("it is truncated")
    return _signature(header, tuple(header["feature_names"].split()), len(sizes), ())


def _signature(header: Mapping[str, Any], names: tuple[str, ...], trees: int, warnings: tuple[str, ...]) -> Signature:
    classes, features = int(header["num_class"]), int(header["max_feature_idx"]) + 1
    objective = str(header.get("objective", ""))
    if classes < 1 or features < 1:
        raise InvalidError(f"invalid number of classes ({classes}) or features ({features})")
    output = Tensor("predict", (-1, classes) if classes > 1 else (-1,), "float64")
    details = Details(
        format_version=str(header["version"]),
        producer="lightgbm",
        classes=numbered(classes) if classes > 1 else (),
        warnings=warnings,
        feature_names=names,
    )
    kind = objective.partition(" ")[0]
    layers = {"tree": trees} | ({kind: 1} if kind else {})
    return Signature((Tensor("x", (-1, features), "float64"),), (output,), layers, details)
