"""Runs LightGBM models in LightGBM's text format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.compare import Feeds, Runner
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tabular import check_features, columns, only_file, rows
from klever.converters.programs.tensors import Tensor

__all__ = ["load", "load_model"]


def load(model: Path, request: Mapping[str, Any]) -> tuple[Runner, list[Tensor]]:
    """Return a runner of the model's file, and its inputs. Raises `ConversionError`."""
    booster = load_model(model)

    def run(feeds: Feeds) -> dict[str, NDArray[Any]]:
        return {"predict": np.asarray(booster.predict(rows(feeds)))}

    return run, columns(request, booster.num_feature())


def load_model(model: Path) -> Any:
    """Return the booster. Raises `ConversionError`."""
    path = only_file(model)
    try:
        booster = lightgbm.Booster(model_str=path.read_text())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise ConversionError(f"cannot load {path.name}: {error}") from error
    check_features(booster.num_feature())
    return booster
