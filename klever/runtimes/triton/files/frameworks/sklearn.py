"""Loads a scikit-learn model, from joblib's format or a plain pickle."""

import sys
import warnings

import joblib
import sklearn

LIBRARIES = ("lightgbm", "sklearn", "xgboost")
"""Libraries whose estimators take row by row."""
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples")


def load(directory):
    """Return the methods of the model by the names of their outputs, and whether a library takes it row by row."""
    path = directory / "model"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", sklearn.exceptions.InconsistentVersionWarning)
        try:
            model = joblib.load(path)  # reads plain pickles too
        except Exception as error:
            raise ValueError(f"{here(caught)} cannot load it: {type(error).__name__}: {error}") from error
    if versions(caught):
        sys.stderr.write(f"warning: {here(caught)} may answer differently\n")
    # Column names are the signature's business, and a warning for each request fills the log.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    methods = {name: getattr(model, name) for name in METHODS if hasattr(model, name)}
    if not methods:
        raise ValueError(f"it holds a {type(model).__name__}, which has no method {' or '.join(METHODS)}")
    return methods, type(model).__module__.partition(".")[0] in LIBRARIES


def here(caught):
    """Name the version that runs, and the other one that saved the model, if the warnings tell of one."""
    saved = f" (the model was saved with {', '.join(versions(caught))})" if versions(caught) else ""
    return f"scikit-learn {sklearn.__version__}{saved}"


def versions(caught):
    return sorted({getattr(warning.message, "original_sklearn_version", "") for warning in caught} - {""})
