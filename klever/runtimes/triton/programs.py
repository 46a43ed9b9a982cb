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

    `environment` has the packages that the program imports, `own` are its files below `files/` by their names in the
    version directory, beside those that all programs have, and `files` are those of the model in STORE/model.
    """

    environment: str
    own: Mapping[str, str]
    files: ModelFiles

    @property
    def sources(self) -> Mapping[str, str]:
        """The files of the version directory, by name: their paths below `files/`."""
        return {**_SHARED, **self.own}


_SHARED: Final = {"model.py": "model.py", "tensors.py": "tensors.py"}


def source(name: str) -> bytes:
    """Return a file of `files/`."""
    return resources.files("klever.runtimes.triton").joinpath("files", name).read_bytes()


def _tabular(framework: str, *suffixes: str) -> Program:
    """The one file of a framework's model. Its name says nothing to the program."""
    files = ModelFiles({"|".join(suffixes): "model"})
    return Program("tabular", {"program.py": "tabular.py", "framework.py": f"frameworks/{framework}.py"}, files)


PROGRAMS: Final[Mapping[str, Program]] = {
    "ONNX": Program("triton", {"program.py": "onnx.py"}, ModelFiles({".onnx": "model.onnx"})),
    "SKLearn": _tabular("sklearn", ".joblib", ".pkl", ".pickle"),
    "Pickle": _tabular("sklearn", ".pickle", ".pkl"),
    "XGBoost": _tabular("xgboost", ".xgboost", ".ubj", ".bst", ".xgb", "model.json"),
    "LightGBM": _tabular("lightgbm", ".txt", ".lightgbm", ".lgb"),
}
