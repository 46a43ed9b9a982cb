"""Loads an XGBoost model from JSON or UBJSON."""

import xgboost


def load(directory):
    """Return the booster's methods: the prediction of its objective, and the margin. Rows are independent."""
    path = directory / "model"
    booster = xgboost.Booster()
    booster.load_model(bytearray(path.read_bytes()))  # with a path, the suffix would decide the format

    def predict(rows):
        return booster.inplace_predict(rows)

    def margin(rows):
        return booster.inplace_predict(rows, predict_type="margin")

    return {"predict": predict, "margin": margin}, True
