"""Record what mxnet 1.9.1 answers, for the tests of the conversion from MXNet to ONNX.

    python3.11 -m venv mx && mx/bin/pip install mxnet==1.9.1 numpy==1.23.5
    PYTHONPATH=. mx/bin/python hack/models/mxnet_answers.py tests/data/conversion/mxnet

`operators.npz` has, for each operator, a model of that operator alone, an input and the answer. `networks.json.gz` has
the symbols of whole networks and their answers; `hack.models.weights` makes their parameters and inputs from a seed.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

from hack.models.weights import mxnet_weights

IMAGE = (2, 4, 9, 9)
SYM = mx.sym
Case = Callable[[Any], Any]

OPERATORS: dict[str, tuple[Case, tuple[int, ...]]] = {
    "convolution": (lambda x: SYM.Convolution(x, kernel=(3, 3), num_filter=6, stride=(2, 2), pad=(1, 1)), IMAGE),
    "convolution_grouped": (
        lambda x: SYM.Convolution(x, kernel=(3, 3), num_filter=4, num_group=4, no_bias=True), IMAGE,
    ),
    "convolution_dilated": (
        lambda x: SYM.Convolution(x, kernel=(3, 3), num_filter=2, dilate=(2, 2), pad=(2, 2)), IMAGE,
    ),
    "convolution_1d": (lambda x: SYM.Convolution(x, kernel=(3,), num_filter=2), (2, 3, 10)),
    "deconvolution": (lambda x: SYM.Deconvolution(x, kernel=(4, 4), num_filter=3, stride=(2, 2), pad=(1, 1)), IMAGE),
    "deconvolution_adjusted": (
        lambda x: SYM.Deconvolution(x, kernel=(3, 3), num_filter=3, stride=(2, 2), adj=(1, 1), no_bias=False), IMAGE,
    ),
    "batch_norm_fixed": (SYM.BatchNorm, IMAGE),
    "batch_norm": (lambda x: SYM.BatchNorm(x, fix_gamma=False, eps=1e-5), IMAGE),
    "pool_max": (lambda x: SYM.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max"), IMAGE),
    "pool_max_full": (
        lambda x: SYM.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", pooling_convention="full"), IMAGE,
    ),
    "pool_average": (lambda x: SYM.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg"), IMAGE),
    "pool_average_full": (
        lambda x: SYM.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="avg", pooling_convention="full"), IMAGE,
    ),
    "pool_average_inner": (
        lambda x: SYM.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False), IMAGE,
    ),
    "pool_global_average": (lambda x: SYM.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1)), IMAGE),
    "pool_global_max": (lambda x: SYM.Pooling(x, global_pool=True, pool_type="max", kernel=(1, 1)), IMAGE),
    "fully_connected": (lambda x: SYM.FullyConnected(x, num_hidden=5), IMAGE),
    "fully_connected_last": (lambda x: SYM.FullyConnected(x, num_hidden=5, flatten=False), (2, 3, 7)),
    "fully_connected_unbiased": (lambda x: SYM.FullyConnected(x, num_hidden=5, no_bias=True), (2, 7)),
    "fully_connected_last_unbiased": (
        lambda x: SYM.FullyConnected(x, num_hidden=5, flatten=False, no_bias=True), (2, 3, 7),
    ),
    "relu": (lambda x: SYM.Activation(x, act_type="relu"), IMAGE),
    "sigmoid": (lambda x: SYM.Activation(x, act_type="sigmoid"), IMAGE),
    "tanh": (lambda x: SYM.Activation(x, act_type="tanh"), IMAGE),
    "softrelu": (lambda x: SYM.Activation(x, act_type="softrelu"), IMAGE),
    "softsign": (lambda x: SYM.Activation(x, act_type="softsign"), IMAGE),
    "leaky_relu": (lambda x: SYM.LeakyReLU(x, slope=0.1), IMAGE),
    "elu": (lambda x: SYM.LeakyReLU(x, act_type="elu", slope=0.5), IMAGE),
    "prelu": (lambda x: SYM.LeakyReLU(x, act_type="prelu"), IMAGE),
    "softmax": (SYM.softmax, (3, 5)),
    "softmax_axis": (lambda x: SYM.softmax(x, axis=1), IMAGE),
    "softmax_output": (lambda x: SYM.SoftmaxOutput(x, name="softmax"), (3, 5)),
    "softmax_activation": (SYM.SoftmaxActivation, (3, 5)),
    "softmax_activation_channel": (lambda x: SYM.SoftmaxActivation(x, mode="channel"), IMAGE),
    "logistic_output": (lambda x: SYM.LogisticRegressionOutput(x, name="out"), (3, 5)),
    "linear_output": (lambda x: SYM.LinearRegressionOutput(x, name="out"), (3, 5)),
    "lrn": (lambda x: SYM.LRN(x, nsize=3, alpha=0.1, beta=0.5, knorm=1.5), IMAGE),
    "clip": (lambda x: SYM.clip(x, a_min=-0.5, a_max=0.5), IMAGE),
    "reshape": (lambda x: SYM.reshape(x, shape=(0, -1, 3)), IMAGE),
    "transpose": (lambda x: SYM.transpose(x, axes=(0, 2, 3, 1)), IMAGE),
    "transpose_reversed": (SYM.transpose, (2, 3, 4)),
    "flatten": (SYM.Flatten, IMAGE),
    "concat": (lambda x: SYM.Concat(x, SYM.Activation(x, act_type="relu"), dim=1), IMAGE),
    "add": (lambda x: x + SYM.relu(x), IMAGE),
    "broadcast_multiply": (
        lambda x: SYM.broadcast_mul(x, SYM.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1))), IMAGE,
    ),
    "add_n": (lambda x: SYM.add_n(x, SYM.relu(x), SYM.tanh(x)), IMAGE),
    "scalars": (lambda x: (2 - (x * 3 + 1 - 0.5) / 4) ** 2, IMAGE),
    "reverse_divide": (lambda x: 1 / (SYM.exp(x) + 1), IMAGE),
    "dropout": (lambda x: SYM.Dropout(x, p=0.5), IMAGE),
    "mean": (lambda x: SYM.mean(x, axis=(2, 3), keepdims=True), IMAGE),
    "sum": (lambda x: SYM.sum(x, axis=1), IMAGE),
    "max": (lambda x: SYM.max(x, axis=1), IMAGE),
    "split": (lambda x: SYM.Group(list(SYM.SliceChannel(x, num_outputs=2))), IMAGE),
    "split_squeezed": (
        lambda x: SYM.Group(list(SYM.SliceChannel(x, num_outputs=3, axis=1, squeeze_axis=True))), (2, 3),
    ),
    "slice_axis": (lambda x: SYM.slice_axis(x, axis=1, begin=1, end=3), IMAGE),
    "slice_axis_open": (lambda x: SYM.slice_axis(x, axis=2, begin=-3, end=None), IMAGE),
    "expand_dims": (lambda x: SYM.expand_dims(x, axis=1), (2, 3)),
    "squeeze": (lambda x: SYM.squeeze(x, axis=1), (2, 1, 3)),
    "pad": (lambda x: SYM.pad(x, mode="constant", pad_width=(0, 0, 0, 0, 1, 2, 3, 4), constant_value=0.5), IMAGE),
    "pad_edge": (lambda x: SYM.pad(x, mode="edge", pad_width=(0, 0, 0, 0, 1, 2, 3, 4)), IMAGE),
    "up_sampling": (lambda x: SYM.UpSampling(x, scale=2, sample_type="nearest"), IMAGE),
    "l2_normalization": (lambda x: SYM.L2Normalization(x, mode="channel"), IMAGE),
    "sqrt_abs_log": (lambda x: SYM.log(SYM.sqrt(SYM.abs(x)) + 1), IMAGE),
}  # fmt: skip
NETWORKS = {
    "lenet": (1, 28, 28), "alexnet": (3, 224, 224), "vgg11": (3, 64, 64), "googlenet": (3, 224, 224),
    "squeezenet1.0": (3, 224, 224), "squeezenet1.1": (3, 224, 224), "resnet18_v1": (3, 64, 64),
    "resnet50_v1": (3, 64, 64), "resnet18_v2": (3, 64, 64), "resnet50_v2": (3, 64, 64), "mobilenet0.25": (3, 64, 64),
    "mobilenetv2_0.25": (3, 64, 64), "densenet121": (3, 224, 224), "inceptionv3": (3, 299, 299),
}  # fmt: skip
"""Channels, height and width of the image that each network gets."""


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for name, (build, shape) in OPERATORS.items():
        found |= {f"{name}/{key}": value for key, value in record(build(SYM.var("data")), shape).items()}
    np.savez_compressed(folder / "operators.npz", **found)
    networks = {name: network(name, shape) for name, shape in NETWORKS.items()}
    (folder / "networks.json.gz").write_bytes(gzip.compress(json.dumps(networks).encode(), mtime=0))


def network(name: str, image: tuple[int, ...]) -> dict[str, Any]:
    """Record the symbol of a network, the shapes of its parameters, and the first numbers of its answer."""
    symbol = {"lenet": lenet, "googlenet": googlenet}.get(name, lambda: zoo(name))()
    symbol = SYM.FullyConnected(symbol, num_hidden=5, name="logits")  # a loss would hide differences
    shape = (2, *image)
    shapes, _, aux_shapes = symbol.infer_shape(data=shape)
    sizes = {f"arg:{n}": s for n, s in zip(symbol.list_arguments(), shapes, strict=True) if n != "data"}
    sizes |= {f"aux:{n}": s for n, s in zip(symbol.list_auxiliary_states(), aux_shapes, strict=True)}
    data, params = mxnet_weights(shape, sizes)
    answer = run(symbol, {name: mx.nd.array(array) for name, array in params.items()}, data)[0]
    print(name, np.abs(answer).max(), flush=True)
    return {"symbol": json.loads(symbol.tojson()), "shape": shape, "params": sizes, "answer": answer.tolist()}


def zoo(name: str) -> Any:
    """Return the symbol of a network of the model zoo, without its classifier's loss."""
    net = mx.gluon.model_zoo.vision.get_model(name, classes=10)
    net.initialize()
    return net(SYM.var("data"))


def lenet() -> Any:
    x = SYM.var("data")
    for filters in (20, 50):
        x = SYM.Activation(SYM.Convolution(x, kernel=(5, 5), num_filter=filters), act_type="tanh")
        x = SYM.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    return SYM.Activation(SYM.FullyConnected(SYM.Flatten(x), num_hidden=500), act_type="tanh")


def googlenet() -> Any:
    """Return a network of two inception modules, with local response normalization and pools of the kind `full`."""
    x = convolution(SYM.var("data"), 32, 7, 2)
    x = SYM.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    x = SYM.LRN(x, nsize=5, alpha=1e-4, beta=0.75, knorm=1)
    x = inception(inception(x, 16), 24)
    return SYM.Dropout(SYM.Pooling(x, kernel=(7, 7), stride=(7, 7), pool_type="avg"), p=0.4)


def inception(x: Any, width: int) -> Any:
    pooled = SYM.Pooling(x, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type="max")
    wide = convolution(convolution(x, width, 1), width, 3)
    wider = convolution(convolution(x, width, 1), width, 5)
    return SYM.Concat(convolution(x, width, 1), wide, wider, convolution(pooled, width, 1))


def convolution(x: Any, filters: int, kernel: int, stride: int = 1) -> Any:
    pad = kernel // 2
    x = SYM.Convolution(x, kernel=(kernel,) * 2, num_filter=filters, stride=(stride,) * 2, pad=(pad, pad))
    return SYM.Activation(x, act_type="relu")


def record(symbol: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Give the symbol random parameters, and record its files, an input, and the outputs."""
    random = np.random.default_rng(1)
    shapes, _, aux_shapes = symbol.infer_shape(data=shape)
    params = {}
    for kind, names, sizes in (
        ("arg", symbol.list_arguments(), shapes),
        ("aux", symbol.list_auxiliary_states(), aux_shapes),
    ):
        for name, size in zip(names, sizes, strict=True):
            if name != "data" and not name.endswith("label"):
                array = random.uniform(0.5, 1.5, size) if kind == "aux" else random.normal(0, 0.5, size)
                params[f"{kind}:{name}"] = mx.nd.array(array.astype("float32"))
    image = random.normal(size=shape).astype("float32")
    answers = run(symbol, params, image)
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/model.params"
        mx.nd.save(path, params)
        raw = np.frombuffer(Path(path).read_bytes(), np.uint8)
    return {
        "symbol": np.frombuffer(symbol.tojson().encode(), np.uint8),
        "params": raw,
        "input": image,
        **{f"output{index}": answer for index, answer in enumerate(answers)},
    }


def run(symbol: Any, params: dict[str, Any], image: Any) -> list[Any]:
    args = {name.removeprefix("arg:"): value for name, value in params.items() if name.startswith("arg:")}
    aux = {name.removeprefix("aux:"): value for name, value in params.items() if name.startswith("aux:")}
    label = next((name for name in symbol.list_arguments() if name.endswith("label")), "")
    if label:
        args[label] = mx.nd.zeros(image.shape if "regression" in symbol.tojson().lower() else image.shape[:1])
    bound = symbol.bind(mx.cpu(), args | {"data": mx.nd.array(image)}, aux_states=aux, grad_req="null")
    return [output.asnumpy() for output in bound.forward(is_train=False)]


if __name__ == "__main__":
    main()
