"""Converts a Keras 2 model in HDF5 to a SavedModel, like the original: `save(save_format="tf")`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from klever.converters.programs.keras_runner import load_model

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write the SavedModel into `output`. Raises `ConversionError`."""
    load_model(model).save(output, save_format="tf", include_optimizer=False)
