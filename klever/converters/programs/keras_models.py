"""Loads Keras models with the Keras that wrote them. It imports nothing of Klever, because Triton's Python backend
also runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

__all__ = ["KerasModel", "load_file"]


class KerasModel:
    """A model with its inputs and outputs under the names that Klever reads from its file.

    `inputs` are tf.TensorSpecs by name, in the model's order.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.inputs = {
            value.name: tf.TensorSpec(value.shape, tf.as_dtype(value.dtype), value.name) for value in model.inputs
        }
        layers = _distinct(value._keras_history[0].name for value in model.outputs)  # noqa: SLF001 - has no other way
        names = {id(value): name for value, name in zip(model.outputs, layers, strict=True)}
        self._given = _structure(model, "inputs")
        self._returned = [names[id(value)] for value in tf.nest.flatten(_structure(model, "outputs"))]

    def call(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs by name, for inputs by name."""
        given = tf.nest.map_structure(lambda value: values[value.name], self._given)
        results = tf.nest.flatten(self.model(given, training=False))
        return dict(zip(self._returned, results, strict=True))

    def function(self) -> Any:
        """Return the model as one TensorFlow function of keyword arguments."""
        return tf.function(lambda **values: self.call(values)).get_concrete_function(**self.inputs)


def load_file(path: Path, *, code: bool) -> KerasModel:
    """Return the model in an *.h5, *.hdf5 or *.keras file, whose Lambda layers may run if it is `code`.

    It raises whatever Keras does.
    """
    if path.suffix in (".h5", ".hdf5") and not _is_of_keras_3(path):
        import tf_keras  # noqa: PLC0415 - either Keras takes seconds to import

        return KerasModel(tf_keras.models.load_model(path, compile=False, safe_mode=not code))
    import keras  # noqa: PLC0415 - either Keras takes seconds to import

    return KerasModel(keras.saving.load_model(path, compile=False, safe_mode=not code))


def _is_of_keras_3(path: Path) -> bool:
    with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version", "")
    text = version.decode() if isinstance(version, bytes) else str(version)
    return text.startswith("3.")


def _structure(model: Any, side: str) -> Any:
    """Return the inputs or outputs as they are nested in lists and dictionaries; a Sequential model has one of each."""
    for name in (f"_{side}_struct", f"_nested_{side}"):  # Keras 3, Keras 2
        if hasattr(model, name):
            return getattr(model, name)
    return getattr(model, side)[0]


def _distinct(names: Iterable[str]) -> list[str]:
    """Number the further outputs of one layer, as Keras 2 does: lstm, lstm_1, lstm_2."""
    found: list[str] = []
    for name in names:
        count, distinct = 1, name
        while distinct in found:
            distinct, count = f"{name}_{count}", count + 1
        found.append(distinct)
    return found
