"""XGBoost models in JSON or UBJSON: number of features, classes, objective and version. Trees are skipped.

Source: xgboost's doc/model.schema and doc/tutorials/saving_model.rst. The binary format, which XGBoost 3.1 removed, is
recognized by its parameters (src/learner.cc, `LearnerModelParamLegacy` of 2.1) and rejected.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO, Final

from klever.errors import InvalidError
from klever.formats.classes import numbered
from klever.formats.details import Details
from klever.formats.files import only_match
from klever.formats.json_stream import JsonError, read_json
from klever.formats.signature import Signature, Tensor
from klever.formats.ubjson import UbjsonError, read_ubjson

__all__ = ["FILES", "read_signature"]

FILES: Final = "*.xgboost|*.ubj|*.bst|*.xgb|model.json"
_LIMIT: Final = 64 << 30
_PASSED_OVER: Final = ("trees", "tree_info", "iteration_indptr", "cats", "weights", "weight_drop")
_SAVE_AGAIN: Final = (
    "load it with an XGBoost before 3.1 and save it again: booster.load_model(old); booster.save_model('model.ubj')"
)
_BINARY_PARAMETERS: Final = struct.Struct("<fIiii")
"""base_score, num_feature, num_class, contain_extra_attrs, contain_eval_metrics"""
_BINARY_NAME: Final = 136
"""The offset of the length of the objective's name."""
_SOFTPROB: Final = "multi:softprob"


def read_signature(model: Path) -> Signature:
    """Read the signature. The output is that of `Booster.predict`, which depends on the objective."""
    path = only_match(model, FILES, _LIMIT)
    with path.open("rb") as file:
        head = file.read(_BINARY_NAME + 64)
        file.seek(0)
        if not head.startswith(b"{"):
            raise InvalidError(f"{path.name} is not an XGBoost model: {_what_else(head)}")
        try:
            return _signature(_document(file, head))
        except (InvalidError, JsonError, UbjsonError) as error:
            raise InvalidError(f"{path.name} is not an XGBoost model: {error}; copy it again") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InvalidError(
                f"{path.name} is not an XGBoost model: {type(error).__name__} {str(error)[:100]}; save it again with "
                f"booster.save_model()"
            ) from error


def _document(file: BinaryIO, head: bytes) -> Any:
    """Return the document without its trees. After `{`, JSON has a name, and UBJSON the type of its length."""
    is_json = head[1:].lstrip()[:1] in (b'"', b"}")
    return read_json(file, _PASSED_OVER) if is_json else read_ubjson(file, _PASSED_OVER)


def _signature(document: Any) -> Signature:
    learner = document["learner"]
    parameters, booster = learner["learner_model_param"], learner["gradient_booster"]
    features, classes = int(parameters["num_feature"]), int(parameters.get("num_class", 0))
    targets = int(parameters.get("num_target", 1))
    names = tuple(str(name) for name in learner.get("feature_names") or ())
    objective = str(learner["objective"]["name"])
    columns = classes if objective == _SOFTPROB else targets
    output = Tensor("predict", (-1, columns) if columns > 1 else (-1,), "float32")
    version = ".".join(str(int(part)) for part in document.get("version") or ())
    details = Details(
        producer=f"xgboost {version}".strip(),
        classes=numbered(classes) if objective.startswith("multi:") else (),
        feature_names=names,
    )
    layers = _layers(booster) | {objective: 1}
    return Signature((Tensor("x", (-1, features), "float32"),), (output,), layers, details)


def _layers(booster: Any) -> dict[str, int]:
    trees = booster.get("gbtree", booster)["model"].get("trees")
    return {str(booster["name"]): 1} if trees is None else {str(booster["name"]): 1, "tree": int(trees)}


def _what_else(head: bytes) -> str:
    """Return what a file is that is neither JSON nor UBJSON."""
    if head.startswith(b"binf") or _is_binary(head):
        return f"it has the binary format, which XGBoost 3.1 removed; {_SAVE_AGAIN}"
    if head.startswith(b"bs64"):
        return f"it has the binary format as text, which XGBoost 3.1 removed; {_SAVE_AGAIN}"
    if head.startswith(b"\x80"):
        return "it is a pickle; save the model with booster.save_model('model.ubj'), or set the format Pickle"
    return "it must be JSON or UBJSON; save the model with booster.save_model('model.ubj')"


def _is_binary(head: bytes) -> bool:
    """Return whether the name of an objective follows the parameters."""
    if len(head) < _BINARY_NAME + 16:
        return False
    _, features, classes, *_ = _BINARY_PARAMETERS.unpack_from(head)
    (length,) = struct.unpack_from("<Q", head, _BINARY_NAME)
    name = head[_BINARY_NAME + 8 : _BINARY_NAME + 8 + min(length, 48)]
    return 0 < length <= 48 and features < 1 << 31 and classes >= 0 and b":" in name and name.isascii()
