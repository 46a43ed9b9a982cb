"""The models of `bench/conversion.py`. Each is written by the Python of the environment that converts it."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from hack.models.weights import caffe_weights, caffemodel, mxnet_weights, write_mxnet

__all__ = ["MODELS", "RECORDED", "Case"]

DATA: Final = Path(__file__).resolve().parents[1] / "tests" / "data"
RECORDED: Final = "recorded.npz"
"""The input and the answer of an independent reader, beside the model's files."""
PythonOf = Callable[[str], str]
"""Name of an environment -> its interpreter."""


@dataclass(frozen=True)
class Case:
    """`make` writes the model's files into a directory, and `RECORDED` beside it if an answer is known."""

    group: str
    name: str
    source: str
    target: str
    make: Callable[[Path, PythonOf], None]

    def __str__(self) -> str:
        return f"{self.group} {self.name}, {self.source} to {self.target}"


def _mxnet(network: dict[str, Any], model: Path, _: PythonOf) -> None:
    given, params = mxnet_weights(network["shape"], network["params"])
    (model / "a-symbol.json").write_text(json.dumps(network["symbol"]))
    write_mxnet(model / "a.params", params)
    np.savez(model.parent / RECORDED, input=given, answer=np.array(network["answer"]))


def _caffe(network: dict[str, Any], model: Path, _: PythonOf) -> None:
    given, weights = caffe_weights(network["shape"], network["blobs"])
    (model / "a.prototxt").write_text(network["prototxt"])
    (model / "a.caffemodel").write_bytes(caffemodel(weights))
    np.savez(model.parent / RECORDED, input=given, answer=np.array(network["answer"]))


def _copied(path: Path, name: str, model: Path, _: PythonOf) -> None:
    shutil.copy(path, model / name)


def _run(environment: str, program: str, model: Path, python: PythonOf) -> None:
    argv = [python(environment), "-c", program, str(model)]
    subprocess.run(argv, check=True, capture_output=True, timeout=600)


def _recorded(framework: str, name: str) -> Any:
    return json.loads(gzip.decompress((DATA / "conversion" / framework / name).read_bytes()))


KERAS: Final = {
    "MobileNetV2": "a.MobileNetV2(weights=None, classifier_activation=None)",
    "MobileNetV3Small": "a.MobileNetV3Small(weights=None, classifier_activation=None)",
    "NASNetMobile": "a.NASNetMobile(weights=None, classifier_activation=None)",
    "DenseNet121": "a.DenseNet121(weights=None, classifier_activation=None)",
    "EfficientNetB0": "a.EfficientNetB0(weights=None, classifier_activation=None)",
    "InceptionV3": "a.InceptionV3(weights=None, classifier_activation=None)",
    "Xception": "a.Xception(weights=None, classifier_activation=None)",
    "ResNet50": "a.ResNet50(weights=None, classifier_activation=None)",
    "ResNet50V2": "a.ResNet50V2(weights=None, classifier_activation=None)",
    "dense": "k.Sequential([k.Input((20,)), l.Dense(64, 'relu'), l.Dense(3, 'softmax')])",
    "convolutions": "k.Sequential([k.Input((28, 28, 1)), l.Conv2D(8, 3), l.MaxPooling2D(), l.Flatten(), l.Dense(10)])",
    "lstm": "k.Sequential([k.Input((None, 8)), l.LSTM(16, return_sequences=True), l.GRU(8), l.Dense(2)])",
    "words": "k.Sequential([k.Input((12,), dtype='int32'), l.Embedding(9, 8), l.Bidirectional(l.LSTM(8)), l.Dense(1)])",
}
"""Expressions of a Keras model: `k` is Keras, `l` its layers and `a` its applications."""
SMALL: Final = ("MobileNetV2", "dense", "convolutions", "lstm", "words")
"""The models that are converted from every format of TensorFlow."""
_KERAS: Final = """
import sys, {keras} as k
l, a = k.layers, k.applications
k.utils.set_random_seed(1)
model = {model}
"""
_SAVES: Final = {
    "H5": "model.save(sys.argv[1] + '/m.h5')",
    "Keras": "model.save(sys.argv[1] + '/m.keras')",
    "SavedModel": "model.save(sys.argv[1], save_format='tf')",
    "GraphDef": """
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
given = tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, 'x')
function = tf.function(lambda x: model(x, training=False)).get_concrete_function(given)
frozen = convert_variables_to_constants_v2(function)
open(sys.argv[1] + '/m.graphdef', 'wb').write(frozen.graph.as_graph_def().SerializeToString())
""",
}


TORCH: Final = ("dense", "words", "upsampling", "attention", "loop", "resnet18", "vgg11")
"""Networks of bench/torch_networks.py."""


def _torch(name: str) -> Case:
    def save(model: Path, python: PythonOf) -> None:
        argv = [python("torch"), str(Path(__file__).with_name("torch_networks.py")), name, str(model)]
        subprocess.run(argv, check=True, capture_output=True, timeout=600)

    return Case("PyTorch", name, "TorchScript", "ONNX", save)


def _keras(name: str, source: str, target: str) -> Case:
    program = _KERAS.format(keras="keras" if source == "Keras" else "tf_keras", model=KERAS[name]) + _SAVES[source]
    return Case("TensorFlow", name, source, target, partial(_run, "tensorflow", program))


def _boosters() -> list[Case]:
    paths = sorted((DATA / "boosters").iterdir())
    xgboost = [path for path in paths if path.suffix in (".json", ".ubj") and ".lightgbm" not in path.name]
    lightgbm = [path for path in paths if path.suffix == ".txt"]
    return [
        *(Case("tables", p.name, "XGBoost", "ONNX", partial(_copied, p, f"model{p.suffix}")) for p in xgboost
          if p.name != "wanted.json"),
        *(Case("tables", p.name, "LightGBM", "ONNX", partial(_copied, p, "model.txt")) for p in lightgbm),
    ]  # fmt: skip


MODELS: Final = (
    *(
        Case("MXNet zoo", name, "MXNetParams", "ONNX", partial(_mxnet, network))
        for name, network in _recorded("mxnet", "networks.json.gz").items()
    ),
    *(
        Case("Caffe zoo", name, "CaffeModel", "ONNX", partial(_caffe, network))
        for name, network in _recorded("caffe", "models.json.gz")["networks"].items()
    ),
    *(
        Case("tables", path.stem, "SKLearn", "ONNX", partial(_copied, path, path.name))
        for path in sorted((DATA / "estimators").glob("*.joblib"))
    ),
    *_boosters(),
    *(_keras(name, "H5", "ONNX") for name in KERAS),
    *(_keras(name, source, "ONNX") for source in ("SavedModel", "GraphDef", "Keras") for name in SMALL),
    *(_keras(name, "H5", "SavedModel") for name in SMALL),
    *map(_torch, TORCH),
)
