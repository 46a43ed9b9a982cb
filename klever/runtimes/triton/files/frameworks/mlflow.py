"""Loads an MLflow model with its flavor `python_function`."""

import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # must be set before the import of MLflow

import mlflow.pyfunc
import pandas as pd

LIBRARIES = {"lightgbm", "sklearn", "xgboost"}
"""Flavors whose models compute each row independently."""


def arrange(arrays):
    """The inputs by name, which `predict` converts to those of the model's own signature."""
    return arrays


def load(directory):
    """Return the prediction, and whether rows are independent. Each column of a table is an output."""
    # The real path, because MLflow rejects a link.
    model = mlflow.pyfunc.load_model(str((directory / "model").resolve()))
    schema = model.metadata.get_input_schema()
    columns = schema is not None and not schema.is_tensor_spec()
    tensors = schema is not None and schema.is_tensor_spec() and schema.has_input_names()

    def predict(arrays):
        if tensors:
            return model.predict(arrays)
        if len(arrays) == 1 and not columns:
            return model.predict(next(iter(arrays.values())))
        return model.predict(pd.DataFrame({name: array.reshape(-1) for name, array in arrays.items()}))

    return {"predict": predict}, bool(LIBRARIES & model.metadata.flavors.keys())
