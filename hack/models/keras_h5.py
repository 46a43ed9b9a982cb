"""Writes architectures of Keras 2 to tests/data/keras, without weights, and the shapes that Keras gives.

Run it in an environment with tf_keras, tensorflow-cpu and h5py: `python hack/models/keras_h5.py`.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import h5py
import tf_keras as keras
from tf_keras import applications as zoo
from tf_keras import layers

DATA = Path(__file__).parents[2] / "tests" / "data" / "keras"


def sequence() -> Any:
    return keras.Sequential(
        [
            layers.Embedding(1000, 16, input_length=20, name="tokens"),
            layers.Conv1D(8, 3, padding="causal", dilation_rate=2),
            layers.MaxPooling1D(2),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.GRU(5),
            layers.RepeatVector(3),
            layers.TimeDistributed(layers.Dense(9)),
            layers.Dense(7, activation="softmax", name="classes"),
        ],
        name="sequence",
    )


def image() -> Any:
    return keras.Sequential(
        [
            layers.InputLayer((32, 48, 3), name="pixels"),
            layers.ZeroPadding2D(((1, 2), (3, 4))),
            layers.Cropping2D(1),
            layers.Conv2D(6, (5, 3), strides=(2, 3)),
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
            layers.UpSampling2D((2, 1)),
            layers.AveragePooling2D(3, strides=2, padding="same"),
            layers.Permute((3, 1, 2)),
            layers.Reshape((-1, 2)),
            layers.Flatten(),
            layers.Dense(3),
        ],
        name="image",
    )


def branches() -> Any:
    """Two inputs, a model within the model that is called twice, and two outputs."""
    left, right = keras.Input((8,), name="left"), keras.Input((8,), name="right", dtype="float64")
    shared = keras.Sequential([layers.Dense(4, input_shape=(8,)), layers.ReLU()], name="shared")
    both = layers.Concatenate(name="both")([shared(left), shared(right)])
    total = layers.Add(name="total")([shared(left), layers.Dense(1)(both)])
    return keras.Model([left, right], [both, total], name="branches")


def custom() -> Any:
    """A layer whose shape rule Klever does not have."""
    entry = keras.Input((6, 4), name="entry")
    return keras.Model(entry, layers.Dot(axes=1, name="product")([entry, entry]), name="unknown")


def main() -> None:
    known = {
        "mobilenet_v2": zoo.MobileNetV2,
        "resnet50": zoo.ResNet50,
        "inception_v3": zoo.InceptionV3,
        "densenet121": zoo.DenseNet121,
        "xception": zoo.Xception,
        "vgg16": zoo.VGG16,
        "nasnet_mobile": zoo.NASNetMobile,
    }
    models = {name: make(weights=None) for name, make in known.items()}
    models |= {model.name: model for model in (sequence(), image(), branches(), custom())}
    wanted = {}
    for name, model in models.items():
        path = DATA / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps({"class_name": type(model).__name__, "config": model.get_config()})
        DATA.joinpath(f"{name}.h5.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
        wanted[name] = {
            "inputs": [[tensor.name, tensor.dtype.name, tensor.shape.as_list()] for tensor in model.inputs],
            "outputs": [[name, shape.as_list()] for name, shape in zip(model.output_names, shapes(model), strict=True)],
        }
    DATA.joinpath("wanted.json").write_text(json.dumps(wanted, indent=1) + "\n")


def shapes(model: Any) -> list[Any]:
    return [tensor.shape for tensor in model.outputs]


if __name__ == "__main__":
    main()
