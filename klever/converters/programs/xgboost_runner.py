"""Runs XGBoost models: JSON or UBJSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
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
        return {"predict": np.asarray(booster.inplace_predict(rows(feeds)))}

    return run, columns(request, booster.num_features())


def load_model(model: Path) -> Any:
    """Return the booster. Raises `ConversionError`."""
    path, booster = only_file(model), xgboost.Booster()
    try:
        booster.load_model(bytearray(path.read_bytes()))  # with a path, the suffix would decide the format
    except xgboost.core.XGBoostError as error:
        raise ConversionError(f"cannot load {path.name}: {str(error).splitlines()[0]}") from error
    check_features(booster.num_features())
    return booster
