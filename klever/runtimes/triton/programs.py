"""How the Python backend of the environment's Triton runs each format: by one of our programs, in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from klever.runtimes.triton.modelfiles import ModelFiles

__all__ = ["PROGRAMS", "Program", "source"]


@dataclass(frozen=True, slots=True)
class Program:
    """One format.

    `environment` has the packages that the program imports, and `files` are those of the model in STORE/model. `own`
    are the program's files below `files/` by their names in the version directory, beside those that all programs have.
    `loaders` are the modules that it shares with the converters: they stand alone, and load models of its framework.
    """

    environment: str
    own: Mapping[str, str]
    files: ModelFiles
    loaders: tuple[str, ...] = ()

    def sources(self) -> dict[str, bytes]:
        """Return the files of the version directory, by name."""
        own = {name: source(path) for name, path in {**_SHARED, **self.own}.items()}
        return own | {f"{name}.py": _read("klever.converters", "programs", f"{name}.py") for name in self.loaders}


_SHARED: Final = {"model.py": "model.py", "tensors.py": "tensors.py"}


def source(name: str) -> bytes:
    """Return a file of `files/`."""
    return _read("klever.runtimes.triton", "files", name)


def _read(package: str, *path: str) -> bytes:
    return resources.files(package).joinpath(*path).read_bytes()


def _tabular(framework: str, *suffixes: str) -> Program:
    """The one file of a framework's model. Its name says nothing to the program."""
    files = ModelFiles({"|".join(suffixes): "model"})
    return Program("tabular", {"program.py": "tabular.py", "framework.py": f"frameworks/{framework}.py"}, files)


def _tensorflow(files: ModelFiles) -> Program:
    return Program("tensorflow", {"program.py": "tensorflow.py"}, files, ("keras_models", "tensorflow_models"))


PROGRAMS: Final[Mapping[str, Program]] = {
    "ONNX": Program("triton", {"program.py": "onnx.py"}, ModelFiles({".onnx": "model.onnx"})),
    "SKLearn": _tabular("sklearn", ".joblib", ".pkl", ".pickle"),
    "Pickle": _tabular("sklearn", ".pickle", ".pkl"),
    "XGBoost": _tabular("xgboost", ".xgboost", ".ubj", ".bst", ".xgb", "model.json"),
    "LightGBM": _tabular("lightgbm", ".txt", ".lightgbm", ".lgb"),
    "SavedModel": _tensorflow(ModelFiles(directory="saved_model")),
    "GraphDef": _tensorflow(ModelFiles({".graphdef": "model.graphdef"})),
    "H5": _tensorflow(ModelFiles({".h5": "model.h5"})),
    "Keras": _tensorflow(ModelFiles({".keras": "model.keras"})),
    "TorchScript": Program(
        "torch", {"program.py": "torchscript.py"}, ModelFiles({".pt": "model.pt"}), ("torch_models",)
    ),
}
