"""Loads a scikit-learn model from joblib's format or a plain pickle."""

import sys
import warnings

import joblib
import sklearn

LIBRARIES = ("lightgbm", "sklearn", "xgboost")
"""Libraries whose estimators compute each row independently."""
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples")


def load(directory):
    """Return the methods of the model by the names of their outputs, and whether rows are independent."""
    path = directory / "model"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", sklearn.exceptions.InconsistentVersionWarning)
        try:
            model = joblib.load(path)  # also reads plain pickles
        except Exception as error:
            raise ValueError(f"{here(caught)} cannot load it: {type(error).__name__}: {error}") from error
    if versions(caught):
        sys.stderr.write(f"warning: {here(caught)} may return different results\n")
    # The signature has the column names, and a warning per request would fill the log.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    methods = {name: getattr(model, name) for name in METHODS if hasattr(model, name)}
    if not methods:
        raise ValueError(f"the model is a {type(model).__name__}, which has no method {' or '.join(METHODS)}")
    return methods, type(model).__module__.partition(".")[0] in LIBRARIES


def here(caught):
    """Return the running version and, if the warnings name it, the version that saved the model."""
    saved = f" (the model was saved with {', '.join(versions(caught))})" if versions(caught) else ""
    return f"scikit-learn {sklearn.__version__}{saved}"


def versions(caught):
    return sorted({getattr(warning.message, "original_sklearn_version", "") for warning in caught} - {""})
