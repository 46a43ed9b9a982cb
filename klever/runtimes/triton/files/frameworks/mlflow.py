"""Loads an MLflow model by its flavor `python_function`."""

import mlflow.pyfunc
import pandas as pd


def load(directory):
    """The prediction; a table's columns are outputs of their own."""
    model = mlflow.pyfunc.load_model(str(directory / "model"))
    schema = model.metadata.get_input_schema()
    column = schema.input_names()[0] if schema and not schema.is_tensor_spec() and schema.has_input_names() else None

    def predict(rows):
        # MLflow checks the names and types of columns, so that an only column must be a table, too.
        return model.predict(pd.DataFrame({column: rows}) if column and not isinstance(rows, pd.DataFrame) else rows)

    return {"predict": predict}
