"""Writes MLflow models of scikit-learn to tests/data/mlflow, and the signatures that MLflow reads from them.

Run it in an environment with mlflow-skinny 3.17.2, scikit-learn 1.9.1, pandas and numpy 1.26.4:
`MLFLOW_DISABLE_TELEMETRY=1 python hack/models/mlflow_models.py`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

DATA = Path(__file__).parents[2] / "tests" / "data" / "mlflow"
FRAME, CLASSES = load_iris(return_X_y=True, as_frame=True)
NAMES = FRAME.rename(columns=lambda name: name.replace(" (cm)", ""))


def signatures(model: Any) -> dict[str, Any]:
    rows = NAMES.to_numpy()
    return {
        "columns": infer_signature(NAMES, model.predict(NAMES)),
        "tensor": infer_signature(rows, model.predict_proba(NAMES)),
        "unsigned": None,
    }


def main() -> None:
    model = LogisticRegression(max_iter=500).fit(NAMES, CLASSES)
    shutil.rmtree(DATA, ignore_errors=True)
    wanted = {}
    for name, signature in signatures(model).items():
        mlflow.sklearn.save_model(
            model,
            DATA / name,
            signature=signature,
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
        )
        found = mlflow.models.Model.load(DATA / name).signature
        wanted[name] = found.to_dict() if found else None
    (DATA / "wanted.json").write_text(json.dumps(wanted, indent=1) + "\n")


if __name__ == "__main__":
    main()
