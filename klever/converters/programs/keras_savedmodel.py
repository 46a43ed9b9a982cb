"""Converts a Keras model to a SavedModel whose signature has the names of the model's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from klever.converters.programs.keras_runner import load_model

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write the SavedModel into `output`. Raises `ConversionError`."""
    loaded = load_model(model, request)
    module = tf.Module()
    module.model = loaded.model  # what the function uses is saved with it
    tf.saved_model.save(module, str(output), signatures={"serving_default": loaded.function()})
