"""Loads an XGBoost model from JSON or UBJSON."""

import xgboost


def load(directory):
    """Return the booster's prediction as its objective gives it, and the margin before that. It takes row by row."""
    path = directory / "model"
    booster = xgboost.Booster()
    booster.load_model(bytearray(path.read_bytes()))  # the name's suffix would decide the format

    def predict(rows):
        return booster.inplace_predict(rows)

    def margin(rows):
        return booster.inplace_predict(rows, predict_type="margin")

    return {"predict": predict, "margin": margin}, True
