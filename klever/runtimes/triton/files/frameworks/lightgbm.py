"""Loads a LightGBM model from its text format."""

import lightgbm


def load(directory):
    """Return the booster's prediction as its objective gives it, and the raw score before. It takes row by row."""
    path = directory / "model"
    booster = lightgbm.Booster(model_file=str(path))

    def raw_score(rows):
        return booster.predict(rows, raw_score=True)

    return {"predict": booster.predict, "raw_score": raw_score}, True
