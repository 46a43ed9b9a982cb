"""Makes this example: two small models of handwritten digits, and real inputs with their labels.

    pip install scikit-learn skl2onnx && python train.py

The data set ships inside scikit-learn: 1,797 images of 8x8 pixels (UCI, Optical Recognition of Handwritten Digits).
"""

from __future__ import annotations

import json
from pathlib import Path

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent
VERSIONS = {"v1": (16,), "v2": (64,)}
"""Version -> sizes of the hidden layers."""


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.3, random_state=0)
    for version, hidden in VERSIONS.items():
        model = MLPClassifier(hidden, max_iter=600, random_state=0).fit(train_x, train_y)
        write(version, model, float(model.score(test_x, test_y)))
    cases = [{"pixels": x.tolist(), "label": int(y)} for x, y in zip(test_x[:50], test_y[:50], strict=True)]
    (HERE / "inputs.json").write_text(json.dumps(cases) + "\n")


def write(version: str, model: MLPClassifier, accuracy: float) -> None:
    directory = HERE / version / "model"
    directory.mkdir(parents=True, exist_ok=True)
    onnx = to_onnx(model, initial_types=[("pixels", FloatTensorType([None, 64]))], options={"zipmap": False})
    (directory / "digits.onnx").write_bytes(onnx.SerializeToString())
    (HERE / version / "ormbfile.yaml").write_text(
        f'author: "Klever"\ndescription: "Handwritten digits, one hidden layer of {model.hidden_layer_sizes[0]}"\n'
        f'format: ONNX\nframework: ONNX\nmetrics:\n  set:\n  - {{name: "accuracy", value: "{accuracy:.4f}"}}\n'
    )


if __name__ == "__main__":
    main()
