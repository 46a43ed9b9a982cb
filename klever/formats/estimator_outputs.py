"""The outputs of a fitted estimator's methods: `predict`, `predict_proba`, `transform`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from klever.formats.classes import numbered
from klever.formats.estimators import Estimator, estimator
from klever.formats.signature import Tensor
from klever.pickles.values import NumpyArray, numpy_array

__all__ = ["classes", "outputs"]

_PREDICT, _PROBABILITIES, _TRANSFORM = "predict", "predict_proba", "transform"
_FLOAT: Final = {"xgboost": "float32"}
"""Types of probabilities and regressions that are not float64."""
_WITHOUT_PROBABILITIES: Final = frozenset((
    "LinearSVC", "OneVsOneClassifier", "OutputCodeClassifier", "PassiveAggressiveClassifier", "Perceptron",
    "RidgeClassifier", "RidgeClassifierCV",
))  # fmt: skip
_DEPENDING: Final = {
    "NuSVC": ("probability", (True,)),
    "SGDClassifier": ("loss", ("log_loss", "log", "modified_huber")),
    "SVC": ("probability", (True,)),
    "VotingClassifier": ("voting", ("soft",)),
}
"""Classifiers that have probabilities only if this attribute has one of these values."""
_CLUSTERS: Final = {
    "AffinityPropagation": "int64", "BayesianGaussianMixture": "int64", "Birch": "int32", "BisectingKMeans": "int32",
    "GaussianMixture": "int64", "KMeans": "int32", "MeanShift": "int64", "MiniBatchKMeans": "int32",
}  # fmt: skip
"""Types of cluster numbers. Other clusterings do not predict."""
_MIXTURES: Final = "sklearn.mixture."
_OUTLIERS: Final = frozenset((
    "EllipticEnvelope", "IsolationForest", "LocalOutlierFactor", "OneClassSVM", "SGDOneClassSVM",
))  # fmt: skip
_TRANSFORMERS: Final = (
    "sklearn.compose._column_transformer.", "sklearn.decomposition.", "sklearn.feature_extraction.",
    "sklearn.feature_selection.", "sklearn.impute.", "sklearn.kernel_approximation.", "sklearn.manifold.",
    "sklearn.preprocessing.", "sklearn.random_projection.",
)  # fmt: skip
_LIBRARIES: Final = ("sklearn", "xgboost", "lightgbm")


def classes(last: Estimator) -> tuple[str, ...]:
    """Return the classes of a classifier as text; empty for other estimators, and for several targets."""
    if last.short in _CLUSTERS or last.name.startswith(_TRANSFORMERS):
        return ()
    count = last.count("n_classes_") if last.library == "xgboost" else None  # xgboost numbers its classes
    return last.texts("classes_", "_classes") or numbered(count or 0)


def outputs(last: Estimator) -> tuple[Tensor, ...]:
    """Return the outputs of the last step's methods; none for an unknown class."""
    return tuple(_outputs(last))


def _outputs(last: Estimator) -> Iterator[Tensor]:
    labels, several = last.array("classes_", "_classes"), last.values.get("classes_")
    if last.name.startswith(_TRANSFORMERS):
        yield Tensor(_TRANSFORM, (-1, _width(last)), "float64")
    elif labels is not None or last.count("n_classes_") is not None:
        yield from _classifier(last, labels)
    elif isinstance(several, list) and several:
        first = numpy_array(several[0])
        yield Tensor(_PREDICT, (-1, len(several)), _label_type(first))
    elif last.short in _CLUSTERS or last.short in _OUTLIERS:
        yield Tensor(_PREDICT, (-1,), _CLUSTERS.get(last.short, "int64"))
        if last.name.startswith(_MIXTURES):
            yield Tensor(_PROBABILITIES, (-1, last.count("n_components") or -1), "float64")
    elif last.library in _LIBRARIES and not last.name.startswith("sklearn.cluster."):
        yield Tensor(_PREDICT, _targets(last), _FLOAT.get(last.library, "float64"))


def _classifier(last: Estimator, labels: NumpyArray | None) -> Iterator[Tensor]:
    yield Tensor(_PREDICT, (-1,), _label_type(labels))
    if _has_probabilities(last):
        count = labels.size if labels else last.count("n_classes_") or -1
        yield Tensor(_PROBABILITIES, (-1, count), _FLOAT.get(last.library, "float64"))


def _label_type(labels: NumpyArray | None) -> str:
    if labels is None:
        return "int64"
    return "string" if labels.dtype == "object" else labels.dtype


def _has_probabilities(last: Estimator) -> bool:
    if last.library not in _LIBRARIES or last.short in _WITHOUT_PROBABILITIES:
        return False
    if last.short in _DEPENDING:
        name, wanted = _DEPENDING[last.short]
        return last.values.get(name) in wanted
    inner = estimator(last.values.get("estimator")) if last.short == "OneVsRestClassifier" else None
    return inner is None or inner.short not in (*_WITHOUT_PROBABILITIES, *_DEPENDING)


def _targets(last: Estimator) -> tuple[int, ...]:
    """Return the shape of a regression: one number per row, or several."""
    count = last.count("n_outputs_")
    matrix = last.array("coef_", "_y")
    if count is None and matrix is not None and len(matrix.shape) == 2 and last.values.get("_predict_1d") is not True:
        count = matrix.shape[0 if "coef_" in last.values else 1]
        return (-1, count)
    return (-1, count) if count is not None and count > 1 else (-1,)


def _width(last: Estimator) -> int:
    """Return the number of columns that a transformer returns; -1 if its attributes do not have it."""
    components = last.array("components_")
    if components is not None and len(components.shape) == 2:
        return components.shape[0]
    is_columnwise = last.short.endswith("Scaler") or last.short in ("OrdinalEncoder", "QuantileTransformer")
    count = last.count("n_features_in_") if is_columnwise else last.count("n_components_")
    return -1 if count is None else count
