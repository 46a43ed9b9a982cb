"""Writes models of Keras 3 to tests/data/keras/v3, and the shapes that Keras gives.

Run it in an environment with keras 3 and a backend of it: `python hack/models/keras_archive.py`. The networks of
`keras.applications` are written without weights, to be small.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
from keras import applications as zoo
from keras import layers

DATA = Path(__file__).parents[2] / "tests" / "data" / "keras" / "v3"


def sequence() -> Any:
    return keras.Sequential(
        [
            keras.Input((20,), dtype="int32", name="tokens"),
            layers.Embedding(100, 8),
            layers.Conv1D(8, 3, padding="causal", dilation_rate=2),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.GRU(5),
            layers.Dense(7, activation="softmax", name="classes"),
        ]
    )


def image() -> Any:
    return keras.Sequential(
        [
            keras.Input((32, 48, 3), name="pixels"),
            layers.ZeroPadding2D(((1, 2), (3, 4))),
            layers.Conv2D(6, (5, 3), strides=(2, 3)),
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.AveragePooling2D(3, strides=2, padding="same"),
            layers.Permute((3, 1, 2)),
            layers.Reshape((-1, 2)),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def branches() -> Any:
    """Two inputs, a model within the model that is called twice, and two outputs."""
    left, right = keras.Input((8,), name="left"), keras.Input((8,), name="right")
    shared = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.ReLU()], name="shared")
    both = layers.Concatenate(name="both")([shared(left), shared(right)])
    total = layers.Add(name="total")([shared(left), layers.Dense(1)(both)])
    return keras.Model([left, right], [both, total], name="branches")


def without_weights(path: Path) -> None:
    """Write an archive again with its configuration alone."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in ("config.json", "metadata.json")}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in kept.items():
            archive.writestr(name, content)


def main() -> None:
    DATA.mkdir(parents=True, exist_ok=True)
    small = {"sequence": sequence(), "image": image(), "branches": branches()}
    large = {
        "resnet50": zoo.ResNet50(weights=None),
        "mobilenet_v2": zoo.MobileNetV2(weights=None),
        "efficientnet_b0": zoo.EfficientNetB0(weights=None),
    }
    wanted = {}
    for name, model in (small | large).items():
        model.save(DATA / f"{name}.keras")
        if name in large:
            without_weights(DATA / f"{name}.keras")
        wanted[name] = {
            "inputs": [[t.name, str(t.dtype), list(t.shape)] for t in model.inputs],
            "outputs": [list(t.shape) for t in model.outputs],
            "parameters": model.count_params() if name in small else None,
        }
    (DATA / "wanted.json").write_text(json.dumps(wanted, indent=1) + "\n")


if __name__ == "__main__":
    main()
