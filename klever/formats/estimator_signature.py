"""The signature of an estimator in a pickle."""

from __future__ import annotations

from collections import Counter

from klever.formats.details import Details
from klever.formats.estimator_inputs import inputs
from klever.formats.estimator_outputs import classes, outputs
from klever.formats.estimators import Estimator, steps
from klever.formats.pickled import code_warnings
from klever.formats.signature import Signature
from klever.formats.weights import Weights
from klever.pickles.names import Pickle
from klever.pickles.values import arrays_within

__all__ = ["signature"]


def signature(found: Pickle) -> Signature | None:
    """Return the signature of the estimator or pipeline in a pickle; None if it contains something else.

    The layers are the steps by class. The parameters are the elements of numeric arrays, such as a tree's nodes.
    """
    parts = list(steps(found.value))
    if not parts:
        return None
    first, last = parts[0], parts[-1]
    weights = _weights(found.value)
    details = Details(
        producer=_producer(parts),
        parameters=weights.parameters,
        parameter_bytes=weights.bytes,
        classes=classes(last),
        warnings=code_warnings(found),
        feature_names=first.texts("feature_names_in_"),
    )
    layers = Counter(part.short for part in parts)
    return Signature(inputs(first), outputs(last), dict(sorted(layers.items())), details)


def _weights(value: object) -> Weights:
    weights = Weights()
    for array in arrays_within(value):
        if array.dtype not in ("object", "string"):
            weights.add_bytes(array.size, array.size * array.itemsize)
    return weights


def _producer(parts: list[Estimator]) -> str:
    versions = (part.values.get("_sklearn_version") for part in parts)
    version = next((version for version in versions if isinstance(version, str)), "")
    return f"scikit-learn {version}" if version else parts[-1].library
