"""Loads an XGBoost model from JSON or UBJSON."""

import xgboost


def load(directory):
    """The outputs of the booster: the prediction of its objective, and the margin."""
    path = directory / "model"
    booster = xgboost.Booster()
    booster.load_model(bytearray(path.read_bytes()))  # with a path, the suffix would decide the format

    def predict(rows):
        return booster.inplace_predict(rows)

    def margin(rows):
        return booster.inplace_predict(rows, predict_type="margin")

    return {"predict": predict, "margin": margin}
