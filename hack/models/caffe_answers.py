"""Record what OpenCV's reader of Caffe models answers, for the tests of the conversions of Caffe models.

    python3.11 -m venv cv && cv/bin/pip install opencv-python-headless==4.11.0.86 'numpy<2' protobuf onnx onnxruntime
    PYTHONPATH=. cv/bin/python hack/models/caffe_answers.py tests/data/conversion/caffe

`models.json.gz` has the prototxt of each layer alone and of whole networks, and OpenCV's answer. `hack.models.weights`
makes the weights and the input from a seed, so that no weights are stored.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hack.models.weights import caffe_weights, caffemodel

IMAGE = (2, 4, 9, 9)


@dataclass
class Net:
    """A prototxt under construction, with the shapes of its weights by layer."""

    shape: tuple[int, ...]
    layers: list[str] = field(default_factory=list)
    blobs: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.channels["data"] = self.shape[1]

    def text(self) -> str:
        dims = " ".join(f"dim: {dim}" for dim in self.shape)
        top = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'
        return "\n".join([top, *self.layers])

    def add(
        self, kind: str, *bottoms: str, parameters: str = "", channels: int = 0, blobs: Any = (), top: str = ""
    ) -> str:
        name = f"{kind.lower()}{len(self.layers)}"
        top = top or name
        reads = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        self.layers.append(f'layer {{ name: "{name}" type: "{kind}" {reads} top: "{top}" {parameters} }}')
        self.blobs[name] = list(blobs)
        self.channels[top] = channels or self.channels[bottoms[0]]
        return top

    def conv(
        self, x: str, filters: int, kernel: int, stride: int = 1, pad: int = 0, *, group: int = 1, extra: str = ""
    ) -> str:
        size = (filters, self.channels[x] // group, kernel, kernel)
        numbers = f"num_output: {filters} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group} {extra}"
        blobs = [size] if "bias_term: false" in extra else [size, (filters,)]
        return self.add(
            "Convolution", x, parameters=f"convolution_param {{ {numbers} }}", channels=filters, blobs=blobs
        )

    def relu(self, x: str) -> str:
        return self.add("ReLU", x, top=x)

    def norm(self, x: str) -> str:
        channels = (self.channels[x],)
        x = self.add(
            "BatchNorm", x, parameters="batch_norm_param { eps: 0.001 }", blobs=[channels, channels, (1,)], top=x
        )
        return self.add("Scale", x, parameters="scale_param { bias_term: true }", blobs=[channels, channels], top=x)

    def pool(self, x: str, parameters: str) -> str:
        return self.add("Pooling", x, parameters=f"pooling_param {{ {parameters} }}")

    def full(self, x: str, outputs: int, inputs: int) -> str:
        parameters = f"inner_product_param {{ num_output: {outputs} }}"
        return self.add(
            "InnerProduct", x, parameters=parameters, channels=outputs, blobs=[(outputs, inputs), (outputs,)]
        )

    def concat(self, *bottoms: str) -> str:
        return self.add("Concat", *bottoms, channels=sum(self.channels[bottom] for bottom in bottoms))

    def sum(self, *bottoms: str, parameters: str = "") -> str:
        return self.add("Eltwise", *bottoms, parameters=parameters)


def layers() -> Iterator[tuple[str, Net]]:
    def single(name: str, shape: tuple[int, ...] = IMAGE) -> Net:
        nets.append((name, Net(shape)))
        return nets[-1][1]

    nets: list[tuple[str, Net]] = []
    single("convolution").conv("data", 6, 3, 2, 1)
    single("convolution_grouped").conv("data", 8, 3, group=4, extra="bias_term: false")
    single("convolution_dilated").conv("data", 2, 3, pad=2, extra="dilation: 2")
    net = single("convolution_rectangular")
    net.add(
        "Convolution",
        "data",
        channels=3,
        blobs=[(3, 4, 3, 2), (3,)],
        parameters="convolution_param { num_output: 3 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 }",
    )
    net = single("deconvolution")
    net.add(
        "Deconvolution",
        "data",
        parameters="convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 }",
        blobs=[(4, 3, 4, 4), (3,)],
    )
    single("pool_max").pool("data", "pool: MAX kernel_size: 3 stride: 2")
    single("pool_max_ceil").pool("data", "pool: MAX kernel_size: 2 stride: 2")
    single("pool_max_clipped", (1, 2, 8, 8)).pool("data", "pool: MAX kernel_size: 3 stride: 2 pad: 1")
    single("pool_average").pool("data", "pool: AVE kernel_size: 3 stride: 2")
    single("pool_average_padded").pool("data", "pool: AVE kernel_size: 3 stride: 2 pad: 1")
    single("pool_global").pool("data", "pool: AVE global_pooling: true")
    single("inner_product").full("data", 5, 4 * 9 * 9)
    net = single("batch_norm")
    net.norm(net.add("Split", "data"))
    single("lrn").add("LRN", "data", parameters="lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 k: 1 }")
    single("relu_leaky").add("ReLU", "data", parameters="relu_param { negative_slope: 0.1 }")
    single("prelu").add("PReLU", "data", blobs=[(4,)])
    single("elu").add("ELU", "data", parameters="elu_param { alpha: 1 }")
    for kind in ("Sigmoid", "TanH", "AbsVal", "Dropout", "Flatten"):
        single(kind.lower()).add(kind, "data")
    single("power").add("Power", "data", parameters="power_param { power: 2 scale: 0.5 shift: 1.5 }")
    single("softmax", (3, 5)).add("Softmax", "data")
    single("softmax_image").add("Softmax", "data")
    net = single("eltwise_sum")
    net.sum("data", net.add("Sigmoid", "data"), parameters="eltwise_param { coeff: 1 coeff: -0.5 }")
    net = single("eltwise_product")
    net.sum("data", net.add("Sigmoid", "data"), parameters="eltwise_param { operation: PROD }")
    net = single("eltwise_max")
    net.sum("data", net.add("Sigmoid", "data"), parameters="eltwise_param { operation: MAX }")
    net = single("concat")
    net.concat("data", net.add("Sigmoid", "data"))
    single("reshape").add("Reshape", "data", parameters="reshape_param { shape { dim: 0 dim: -1 dim: 3 } }")
    yield from nets


def lenet() -> Net:
    net = Net((2, 1, 28, 28))
    x = net.pool(net.conv("data", 20, 5), "pool: MAX kernel_size: 2 stride: 2")
    x = net.pool(net.conv(x, 50, 5), "pool: MAX kernel_size: 2 stride: 2")
    net.full(net.relu(net.full(x, 50, 50 * 16)), 10, 50)
    return net


def alexnet() -> Net:
    net = Net((2, 3, 67, 67))
    x = net.relu(net.conv("data", 16, 11, 4))
    x = net.add("LRN", x, parameters="lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    x = net.pool(x, "pool: MAX kernel_size: 3 stride: 2")
    x = net.relu(net.conv(x, 32, 5, pad=2, group=2))
    x = net.relu(net.conv(x, 32, 3, pad=1, group=2))
    x = net.pool(x, "pool: MAX kernel_size: 3 stride: 2")
    x = net.add("Dropout", net.relu(net.full(x, 64, 32 * 9)), parameters="dropout_param { dropout_ratio: 0.5 }")
    net.full(x, 10, 64)
    return net


def vgg() -> Net:
    net, x = Net((2, 3, 32, 32)), "data"
    for filters in (8, 16, 32):
        x = net.relu(net.conv(net.relu(net.conv(x, filters, 3, pad=1)), filters, 3, pad=1))
        x = net.pool(x, "pool: MAX kernel_size: 2 stride: 2")
    net.full(x, 10, 32 * 16)
    return net


def googlenet() -> Net:
    net = Net((2, 3, 64, 64))
    x = net.pool(net.relu(net.conv("data", 16, 7, 2, 3)), "pool: MAX kernel_size: 3 stride: 2")
    x = net.add("LRN", x, parameters="lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    for width in (8, 12):
        branches = [net.relu(net.conv(x, width, 1))]
        branches += [net.relu(net.conv(net.relu(net.conv(x, width, 1)), width, k, pad=k // 2)) for k in (3, 5)]
        pooled = net.pool(x, "pool: MAX kernel_size: 3 stride: 1 pad: 1")
        x = net.concat(*branches, net.relu(net.conv(pooled, width, 1)))
    net.full(net.pool(x, "pool: AVE kernel_size: 7 stride: 1"), 10, 48 * 100)
    return net


def resnet() -> Net:
    net = Net((2, 3, 32, 32))
    x = net.relu(net.norm(net.conv("data", 16, 7, 2, 3, extra="bias_term: false")))
    x = net.pool(x, "pool: MAX kernel_size: 3 stride: 2")
    for filters, stride in ((16, 1), (32, 2)):
        straight = net.norm(net.conv(x, filters, 1, stride, extra="bias_term: false"))
        y = net.relu(net.norm(net.conv(x, filters, 3, stride, 1, extra="bias_term: false")))
        x = net.relu(net.sum(straight, net.norm(net.conv(y, filters, 3, 1, 1, extra="bias_term: false"))))
    net.full(net.pool(x, "pool: AVE global_pooling: true"), 10, 32)
    return net


def squeezenet() -> Net:
    net = Net((2, 3, 48, 48))
    x = net.pool(net.relu(net.conv("data", 16, 3, 2)), "pool: MAX kernel_size: 3 stride: 2")
    for width in (4, 8):
        squeezed = net.relu(net.conv(x, width, 1))
        x = net.concat(net.relu(net.conv(squeezed, width * 4, 1)), net.relu(net.conv(squeezed, width * 4, 3, pad=1)))
    net.pool(net.relu(net.conv(x, 10, 1)), "pool: AVE global_pooling: true")
    return net


def mobilenet(inverted: bool) -> Net:
    net = Net((2, 3, 32, 32))
    x = net.relu(net.norm(net.conv("data", 8, 3, 2, 1)))
    for filters, stride in ((8, 1), (16, 2), (16, 1)):
        y = net.relu(net.norm(net.conv(x, net.channels[x] * 4, 1))) if inverted else x
        y = net.relu(net.norm(net.conv(y, net.channels[y], 3, stride, 1, group=net.channels[y])))
        y = net.norm(net.conv(y, filters, 1))
        same = inverted and stride == 1 and net.channels[x] == filters
        x = net.sum(x, y) if same else y if inverted else net.relu(y)
    net.full(net.pool(x, "pool: AVE global_pooling: true"), 10, 16)
    return net


def densenet() -> Net:
    net = Net((2, 3, 32, 32))
    x = net.conv("data", 8, 3, pad=1)
    for _ in range(3):
        kept = net.add("Split", x)
        normal = net.add("BatchNorm", kept, blobs=[(net.channels[x],)] * 2 + [(1,)])
        scaled = net.add("Scale", normal, parameters="scale_param { bias_term: true }", blobs=[(net.channels[x],)] * 2)
        x = net.concat(kept, net.conv(net.relu(scaled), 4, 3, pad=1))
    x = net.pool(net.conv(x, 10, 1), "pool: AVE kernel_size: 2 stride: 2")
    net.full(net.pool(x, "pool: AVE global_pooling: true"), 10, 10)
    return net


def inception() -> Net:
    net = Net((2, 3, 35, 35))
    x = net.relu(net.norm(net.conv("data", 8, 3, 2)))
    tall = net.add(
        "Convolution",
        x,
        channels=8,
        blobs=[(8, 8, 7, 1), (8,)],
        parameters="convolution_param { num_output: 8 kernel_h: 7 kernel_w: 1 pad_h: 3 pad_w: 0 }",
    )
    wide = net.add(
        "Convolution",
        tall,
        channels=8,
        blobs=[(8, 8, 1, 7), (8,)],
        parameters="convolution_param { num_output: 8 kernel_h: 1 kernel_w: 7 pad_h: 0 pad_w: 3 }",
    )
    pooled = net.pool(x, "pool: AVE kernel_size: 3 stride: 1 pad: 1")
    x = net.concat(net.relu(wide), net.relu(net.conv(pooled, 8, 1)), net.relu(net.conv(x, 8, 1)))
    net.full(net.pool(x, "pool: AVE global_pooling: true"), 10, 24)
    return net


NETWORKS = {
    "lenet": lenet, "alexnet": alexnet, "vgg": vgg, "googlenet": googlenet, "resnet": resnet, "squeezenet": squeezenet,
    "mobilenet_v1": lambda: mobilenet(False), "mobilenet_v2": lambda: mobilenet(True), "densenet": densenet,
    "inception": inception,
}  # fmt: skip


def answer(net: Net) -> Any:
    data, weights = caffe_weights(net.shape, net.blobs)
    loaded = cv2.dnn.readNetFromCaffe(net.text().encode(), caffemodel(weights))
    loaded.enableFusion(False)
    loaded.setInput(data)
    return loaded.forward()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    models: dict[str, dict[str, Any]] = {}
    for kind, nets in (("layers", dict(layers())), ("networks", {name: make() for name, make in NETWORKS.items()})):
        models[kind] = {}
        for name, net in nets.items():
            found = answer(net)
            print(kind, name, found.shape, np.abs(found).max(), flush=True)
            models[kind][name] = {
                "prototxt": re.sub(r" +", " ", net.text()), "shape": net.shape, "blobs": net.blobs,
                "answer": np.round(found.astype(np.float64), 9).tolist(),
            }  # fmt: skip
    (folder / "models.json.gz").write_bytes(gzip.compress(json.dumps(models).encode(), mtime=0))


if __name__ == "__main__":
    main()
