"""Loads an MLflow model by its flavor `python_function`."""

import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when MLflow is imported

import mlflow.pyfunc
import pandas as pd

LIBRARIES = {"lightgbm", "sklearn", "xgboost"}
"""Flavors whose models take row by row."""


def arrange(arrays):
    """The inputs by name, which `predict` turns into what the model's own signature asks for."""
    return arrays


def load(directory):
    """Return the prediction, and whether a library takes row by row. A table's columns are outputs of their own."""
    # The real path: MLflow refuses a model that is a link.
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
