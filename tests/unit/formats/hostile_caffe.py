"""Hostile Caffe models."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.unit.formats.hostile_files import Build, also, beside, sparse

__all__ = ["CAFFE"]


def net(text: str | bytes, weights: bytes = b"") -> Callable[[Path], None]:
    return beside("m.prototxt", text.encode() if isinstance(text, str) else text, "m.caffemodel", weights)


def remade(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def data(*dims: int | str) -> str:
    sizes = " ".join(f"dim: {dim}" for dim in dims)
    return f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {sizes} }} }} }}\n'


def layer(kind: str, body: str = "", bottoms: str = 'bottom: "x"') -> str:
    return f'layer {{ name: "y" type: "{kind}" {bottoms} top: "x" {body} }}\n'


GROWTH = layer("Tile", f"tile_param {{ tiles: {1 << 60} }}")
ONES = "dim: 1 " * 100_000
RANK = b"\xa2\x06\xcb\x84\x3d\x3a\xc7\x84\x3d\x3a\xc3\x84\x3d\x0a\xbf\x84\x3d" + b"\1" * 999_999
SMALL = data(1, 3, 8, 8)

CAFFE: dict[str, Build] = {
    "empty": net(""),
    "binary": net(b"\xff\xfe" * 1000),
    "zeros": net(bytes(100_000)),
    "a text without end": lambda _: net('name: "' + "x" * 1_000_000),
    "a million brackets": lambda _: net("a{" * 1_000_000),
    "a million closing brackets": lambda _: net("}" * 1_000_000),
    "a million colons": lambda _: net(":" * 1_000_000),
    "a list nested deep": lambda _: net("a: " + "[" * 1_000_000),
    "a message in a list nested deep": lambda _: net("a: [{" * 300_000),
    "two million fields": lambda _: net("a:1 " * 1_000_000),
    "a comment of 4 MB": lambda _: net("#" * 4_000_000),
    "a word of 4 MB": lambda _: net("a" * 4_000_000),
    "backslashes without end": lambda _: net('a: "' + "\\" * 3_999_999),
    "5 MB": lambda _: net(" " * 5_000_000),
    "50,000 layers": lambda _: net(SMALL + "layer{type:'ReLU' bottom:'x' top:'x'}" * 50_000),
    "a rank of 100,000": lambda _: net(data(*[1] * 100_000) + layer("Flatten")),
    "a size of 4,000 digits": net(data("9" * 4_000) + layer("Flatten")),
    "a size of 10,000 digits": net(data("9" * 10_000) + layer("Flatten")),
    "sizes below zero": net(data(1, -3, -8, -8) + layer("Flatten")),
    "sizes that grow without end": lambda _: net(data(1, 1 << 60) + GROWTH * 10_000),
    "a stride of zero": net(SMALL + layer("Pooling", "pooling_param { kernel_size: 2 stride: 0 }")),
    "a kernel below zero": net(SMALL + layer("Convolution", "convolution_param { num_output: 1 kernel_size: -5 }")),
    "an axis of 10**9": net(SMALL + layer("Concat", "concat_param { axis: 1000000000 }")),
    "an axis that is text": net(SMALL + layer("Concat", "concat_param { axis: x }")),
    "a slice beyond its rank": net(SMALL + layer("Slice", "slice_param { axis: 9 }")),
    "a slice of a scalar": net(data() + layer("Slice", "slice_param { axis: 0 }")),
    "a reshape into nothing": net(SMALL + layer("Reshape", "reshape_param { shape { dim: -1 dim: 0 dim: 0 } }")),
    "a reshape of 100,000": lambda _: net(SMALL + layer("Reshape", f"reshape_param {{ shape {{ {ONES} }} }}")),
    "a permutation beyond its rank": net(SMALL + layer("Permute", "permute_param { order: 9 }")),
    "a crop of nothing": net(SMALL + layer("Crop")),
    "a layer that reads nothing": net(layer("ReLU", bottoms="")),
    "a layer that reads itself": net(layer("ReLU")),
    "100,000 inputs of a layer": lambda _: net(SMALL + layer("Concat", bottoms='bottom: "x" ' * 100_000)),
    "20,000 kinds of layers": lambda _: net(SMALL + "".join(layer(f"K{n}") for n in range(10_000))),
    "a type of a megabyte": lambda _: net(SMALL + layer("K" * 1_000_000)),
    "a name of a megabyte": lambda _: net(f'input: "{"x" * 1_000_000}" layer {{ type: "ReLU" bottom: "y" }}'),
    "weights that are not protobuf": net(SMALL, b"\xff" * 1000),
    "weights that are cut off": net(SMALL, b"\xa2\x06\x7f"),
    "weights that are a number": net(SMALL, b"\xa0\x06\x05"),
    "a blob of rank 999,999": lambda _: net(SMALL, RANK),
    "a FIFO": also(net(""), lambda directory: remade(directory / "m.prototxt", os.mkfifo)),
    "a link": also(net(""), lambda directory: remade(directory / "m.prototxt", lambda path: path.symlink_to("/etc"))),
    "weights of 3 GiB": also(net(SMALL), lambda directory: sparse(directory / "m.caffemodel", 3 << 30)),
}  # fmt: skip
