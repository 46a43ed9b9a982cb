"""The programs with which the Python backend of the environment's Triton runs each format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from klever.runtimes.triton.modelfiles import ModelFiles

__all__ = ["PROGRAMS", "Program", "source"]


@dataclass(frozen=True, slots=True)
class Program:
    """One format.

    `environment` has the packages that the program imports, and `files` are those of the model in STORE/model. `own`
    are the program's files below `files/` by their names in the version directory, in addition to those of all
    programs. `layers` are the layers of a signature that it can compute, empty if they do not matter. `loaders` are the
    self-contained modules that it shares with the converters, which load models of its framework.
    """

    environment: str
    own: Mapping[str, str]
    files: ModelFiles
    layers: frozenset[str] = frozenset()
    loaders: tuple[str, ...] = ()
    any_rank: bool = False
    """Whether it returns outputs of unknown rank with the model's shape."""

    def sources(self) -> dict[str, bytes]:
        """Return the files of the version directory, by name."""
        own = {name: source(path) for name, path in {**_SHARED, **self.own}.items()}
        return own | {f"{name}.py": _read("klever.converters", "programs", f"{name}.py") for name in self.loaders}


_SHARED: Final = {name: name for name in ("model.py", "tensors.py", "batches.py")}


def source(name: str) -> bytes:
    """Return a file of `files/`."""
    return _read("klever.runtimes.triton", "files", name)


def _read(package: str, *path: str) -> bytes:
    return resources.files(package).joinpath(*path).read_bytes()


_MLFLOW: Final = frozenset({"lightgbm", "sklearn", "xgboost"})
"""Flavors whose packages are in the environment `mlflow`. A model with only `python_function` has no layer."""


def _tabular(framework: str, files: ModelFiles, environment: str = "tabular", **options: Any) -> Program:
    own = {"program.py": "tabular.py", "framework.py": f"frameworks/{framework}.py"}
    return Program(environment, own, files, **options)


def _file(*suffixes: str) -> ModelFiles:
    """The only file of a model, whose name does not matter to the program."""
    return ModelFiles({"|".join(suffixes): "model"})


_MLLIB_FILES: Final = ("framework", "reading", "features", "classification", "regression", "clustering", "trees")
_MLLIB: Final = frozenset(
    {
        *("Binarizer", "Bucketizer", "ChiSqSelectorModel", "ElementwiseProduct", "ImputerModel", "IndexToString"),
        *("MaxAbsScalerModel", "MinMaxScalerModel", "Normalizer", "OneHotEncoderModel", "PCAModel"),
        *("RobustScalerModel", "StandardScalerModel", "StringIndexerModel", "UnivariateFeatureSelectorModel"),
        *("VarianceThresholdSelectorModel", "VectorAssembler", "VectorIndexerModel", "VectorSlicer"),
        *("DecisionTreeClassificationModel", "GBTClassificationModel", "LinearSVCModel", "LogisticRegressionModel"),
        *("MultilayerPerceptronClassificationModel", "NaiveBayesModel", "RandomForestClassificationModel"),
        *("DecisionTreeRegressionModel", "GBTRegressionModel", "GeneralizedLinearRegressionModel"),
        *("LinearRegressionModel", "RandomForestRegressionModel", "GaussianMixtureModel", "KMeansModel"),
        *("mllib.KMeansModel", "mllib.LassoModel", "mllib.LinearRegressionModel", "mllib.LogisticRegressionModel"),
        *("mllib.RidgeRegressionModel", "mllib.SVMModel"),
    }
)
"""Classes that `files/mllib` computes without Spark."""


def _tensorflow(files: ModelFiles) -> Program:
    loaders = ("keras_models", "tensorflow_models")
    return Program("tensorflow", {"program.py": "tensorflow.py"}, files, loaders=loaders, any_rank=True)


PROGRAMS: Final[Mapping[str, Program]] = {
    "ONNX": Program("triton", {"program.py": "onnx.py"}, ModelFiles({".onnx": "model.onnx"})),
    "SKLearn": _tabular("sklearn", _file(".joblib", ".pkl", ".pickle")),
    "Pickle": _tabular("sklearn", _file(".pickle", ".pkl")),
    "XGBoost": _tabular("xgboost", _file(".xgboost", ".ubj", ".bst", ".xgb", "model.json")),
    "LightGBM": _tabular("lightgbm", _file(".txt", ".lightgbm", ".lgb")),
    "MLflow": _tabular("mlflow", ModelFiles(directory="model"), "mlflow", layers=_MLFLOW),
    "MLlib": Program(
        "mllib",
        {"program.py": "tabular.py", **{f"{name}.py": f"mllib/{name}.py" for name in _MLLIB_FILES}},
        ModelFiles(directory="model"),
        _MLLIB,
    ),
    "SavedModel": _tensorflow(ModelFiles(directory="saved_model")),
    "GraphDef": _tensorflow(ModelFiles({".graphdef|.pb": "model.graphdef"})),
    "H5": _tensorflow(ModelFiles({".h5|.hdf5": "model.h5"})),
    "Keras": _tensorflow(ModelFiles({".keras": "model.keras"})),
    "TorchScript": Program(
        "torch",
        {"program.py": "torchscript.py"},
        ModelFiles({".pt|.pth": "model.pt"}),
        loaders=("torch_models",),
        any_rank=True,
    ),
}
