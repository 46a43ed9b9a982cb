"""The table of formats, with the layout of each model directory (the rules of kleveross/ormb)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from klever.errors import InvalidError
from klever.formats.bounds import check_bounds
from klever.formats.detection import faults, fits, recognise, top_names
from klever.formats.signature import Signature
from klever.limits import DEFAULTS, Limits
from klever.plugins import Table

__all__ = ["FORMATS", "Format", "Trust", "check_layout", "detect", "get", "least_trust", "names"]


class Trust(StrEnum):
    """The trust class: what loading a model can do."""

    DATA = "data"
    """Its runtime reads it, and executes no part of it."""
    CODE = "code"
    """It can execute any code of its author, so it runs only in projects that allow code."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format. Each pattern of `files` must match exactly one entry at the top of the model directory.

    `weights`: the patterns in `files` of pure weights, which the signature does not need. `several`: each pattern may
    match several entries, the parts of one file. `alone`: there must be no other files. `leads`: its files describe the
    others, which may fit another format. `markers`: what the first 512 bytes of a file must match, by the pattern of
    its name, if only some files with that name have the format. `reader` is the module that reads the signature, empty
    if there is none. `trust` is the least class: the inspection may find code in content of a data format
    (`klever.inspection`).
    """

    name: str
    framework: str = ""
    files: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    alone: bool = False
    several: bool = False
    leads: bool = False
    markers: Mapping[str, bytes] = field(default_factory=dict)
    reader: str = ""
    trust: Trust = Trust.DATA

    def loads(self, path: str) -> bool:
        """Return whether a file of the model directory belongs to the format.

        The file may be in an archive: `m.keras!config.json`. Names of files may have a `!` too.
        """
        parts = path.partition("/")[0].split("!")
        tops = {"!".join(parts[:count]) for count in range(1, len(parts) + 1)}
        return any(fnmatchcase(top, name) for pattern in self.files for name in pattern.split("|") for top in tops)

    @property
    def extractable(self) -> bool:
        return bool(self.reader)

    def read_signature(self, model: Path, limits: Limits = DEFAULTS, *, partial: bool = False) -> Signature:
        """Read the signature of a model directory. Raises `InvalidError` that names the faulty file or the limit.

        With `partial`, `model` may be one file, and files of weights may be missing, which gives a warning.
        """
        if not self.reader:
            raise InvalidError(f"the signature of {self.name} models cannot be read yet; write it into ormbfile.yaml")
        row = self.without_weights() if partial else self
        _check(row, model)
        signature: Signature = import_module(self.reader).read_signature(model)
        missing = faults(self, top_names(model)) if partial else []
        if missing:
            warnings = (
                *signature.details.warnings,
                *(f"{fault}: the signature was read without it" for fault in missing),
            )
            signature = replace(signature, details=replace(signature.details, warnings=warnings))
        check_bounds(signature, limits)
        return signature

    def without_weights(self) -> Format:
        """Return the format of a model whose files of weights are missing."""
        return replace(self, files=tuple(pattern for pattern in self.files if pattern not in self.weights))


def _claims(row: Any) -> tuple[str]:
    if not isinstance(row, Format):
        raise TypeError(f"expected a klever.formats.Format, not {row!r}")
    return (row.name,)


_ESTIMATOR: Final = rb"\A(?:\x80.(?:\x95.{8})?)?(?:ccopy_reg\n_reconstructor\n(?:p0\n|q\x00)?\()?(?:c|\x8c.)sklearn\."
"""The beginning of a pickle with an estimator of scikit-learn: its class."""

_GRAPH: Final = rb"\A\n[\x80-\xff]{0,4}[\x00-\x7f]\n"
"""The beginning of a GraphDef: a node, which begins with its name. SavedModels, NetDefs and tensors begin otherwise."""

_BUILT_IN: Final = {
    row.name: row
    for row in (
        Format("SavedModel", "TensorFlow", ("saved_model.pb",), reader="klever.formats.savedmodel"),
        Format("ONNX", "ONNX", ("*.onnx",), reader="klever.formats.onnx"),
        Format("H5", "Keras", ("*.h5|*.hdf5",), reader="klever.formats.keras"),
        Format("Keras", "Keras", ("*.keras",), reader="klever.formats.keras_archive"),
        Format("PMML", "PMML", ("*.pmml",), alone=True, reader="klever.formats.pmml"),
        Format("CaffeModel", "Caffe", ("*.caffemodel", "*.prototxt"), ("*.caffemodel",), reader="klever.formats.caffe"),
        Format("NetDef", "Caffe2", ("init_net.pb", "predict_net.pb"), ("init_net.pb",), reader="klever.formats.netdef"),
        Format("MXNetParams", "MXNet", ("*symbol.json", "*.params"), ("*.params",), reader="klever.formats.mxnet"),
        Format("TorchScript", "PyTorch", ("*.pt|*.pth",), reader="klever.formats.torchscript", trust=Trust.CODE),
        Format(
            "GraphDef",
            "TensorFlow",
            ("*.graphdef|*.pb",),
            markers={"*.pb": _GRAPH},
            reader="klever.formats.graphdef",
        ),
        Format("TensorRT", "TensorRT", ("*.plan|*.engine",)),
        Format(
            "SKLearn",
            "SKLearn",
            ("*.joblib|*.pkl|*.pickle",),
            markers=dict.fromkeys(("*.pkl", "*.pickle"), _ESTIMATOR),
            reader="klever.formats.sklearn",
            trust=Trust.CODE,
        ),
        Format(
            "XGBoost",
            "XGBoost",
            ("*.xgboost|*.ubj|*.bst|*.xgb|model.json",),
            markers={"*.json": rb'"learner"'},
            reader="klever.formats.xgboost",
        ),
        Format(
            "LightGBM",
            "LightGBM",
            ("*.txt|*.lightgbm|*.lgb|model.json",),
            markers={"*.txt": rb"\Atree\s", "*.json": rb'"name": ?"tree"'},
            reader="klever.formats.lightgbm",
        ),
        Format("MLflow", "MLflow", ("MLmodel",), leads=True, reader="klever.formats.mlflow", trust=Trust.CODE),
        Format("Pickle", "", ("*.pkl|*.pickle",), reader="klever.formats.anypickle", trust=Trust.CODE),
        Format("MLlib", "Spark", ("metadata", "data|stages|bestModel"), reader="klever.formats.mllib"),
        Format("GGUF", "llama.cpp", ("*.gguf",), several=True, reader="klever.formats.gguf"),
        Format("SafeTensors", "", ("*.safetensors",), several=True, reader="klever.formats.safetensors"),
        Format("Others"),
    )
}

FORMATS: Final = Table[str, Format]("klever.formats", _BUILT_IN, _claims)
"""The formats by name, including those of plugins."""


def names() -> tuple[str, ...]:
    return tuple(FORMATS)


def get(name: str) -> Format:
    """Return a format. Raises `InvalidError` for an unknown name. Names are case-sensitive."""
    try:
        return FORMATS[name]
    except KeyError as error:
        raise InvalidError(
            f"unknown format {name!r}: must be one of {', '.join(FORMATS)}", reason="UNKNOWN_FORMAT"
        ) from error


def least_trust(name: str) -> Trust:
    """Return the least trust class of a format. An unknown format is code."""
    return FORMATS[name].trust if name in FORMATS else Trust.CODE


def detect(model: Path, *, partial: bool = False) -> str:
    """Return the name of the format that the files fit. Raises `InvalidError` if none or several do.

    With `partial`, `model` may be one file, and files of weights may be missing.
    """
    if partial:
        whole = any(row.files and fits(row, model) for row in FORMATS.values())
        rows = FORMATS.values() if whole else [row.without_weights() for row in FORMATS.values()]
        return recognise(rows, model).name
    return recognise(FORMATS.values(), model).name


def check_layout(name: str, model_dir: Path) -> None:
    """Raise `InvalidError` that names the missing files of a format."""
    _check(get(name), model_dir)


def _check(row: Format, model: Path) -> None:
    found = faults(row, top_names(model))
    if found:
        raise InvalidError(f"{model} is not a {row.name} model: {'; '.join(found)}", reason="LAYOUT")
