"""Writes the shapes that OpenCV gives for the networks of tests/data/caffe/shapes to wanted.json beside them.

Run it in an environment with Klever and opencv-python-headless 4.11 (5.0 reads no Caffe models any more):
`python hack/models/caffe_shapes.py`. OpenCV wants weights: zeros of the sizes that the layers imply.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np

from klever.formats.prototxt import Message, parse

DATA = Path(__file__).parents[2] / "tests" / "data" / "caffe" / "shapes"


def field(number: int, value: bytes) -> bytes:
    """Write one field of protobuf's wire format."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def blob(*shape: int) -> bytes:
    count = 1
    for dim in shape:
        count *= dim
    dims = b"".join(bytes([0x08]) + varint(dim) for dim in shape)
    return field(7, field(7, dims) + field(5, struct.pack("<f", 0.5) * count))


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def blobs(layer: Message, channels: int, size: int) -> bytes:
    """Return the weights of a layer whose input has so many channels and elements."""
    kind = layer.text("type")
    convolution = layer.message("convolution_param")
    if kind in ("Convolution", "Deconvolution"):
        group, out = convolution.number("group", 1), convolution.number("num_output", 0)
        kernel = convolution.numbers("kernel_size") * 2 or [
            convolution.number("kernel_h", 0), convolution.number("kernel_w", 0)
        ]  # fmt: skip
        ends = (out, channels // group) if kind == "Convolution" else (channels, out // group)
        return blob(*ends, *kernel[:2]) + blob(out)
    if kind == "InnerProduct":
        out = layer.message("inner_product_param").number("num_output", 0)
        return blob(out, size) + blob(out)
    normal = blob(channels) + blob(channels)
    return {"BatchNorm": normal + blob(1), "Scale": normal}.get(kind, b"")


def shapes(path: Path) -> dict[str, list[int]]:
    """Return the shape of the first top of each layer."""
    known: dict[str, list[int]] = {}
    text = path.read_text()
    net = parse(text)
    dims = net.numbers("input_dim") or net.message("input_shape").numbers("dim")
    weights = b""
    for layer in net.messages("layer"):
        if layer.text("type") == "Input":
            dims = layer.message("input_param").message("shape").numbers("dim")
            known[layer.text("top")] = dims
            continue
        before = known.get(layer.text("bottom"), dims)
        size = 1
        for dim in before[1:]:
            size *= dim
        weights += field(100, field(1, layer.text("name").encode()) + blobs(layer, before[1], size))
        part = text[: _end(text, layer, net)]
        network = cv2.dnn.readNetFromCaffe(part.encode(), weights)
        network.setInput(np.zeros(dims, np.float32))
        known[layer.text("top")] = list(network.forward(layer.text("name")).shape)
    return known


def _end(text: str, layer: Message, net: Message) -> int:
    """Return where a layer ends in the text: before the next one begins."""
    later = [other.line for other in net.messages("layer") if other.line > layer.line]
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: later[0] - 1])) if later else len(text)


def main() -> None:
    wanted = {path.stem: shapes(path) for path in sorted(DATA.glob("*.prototxt"))}
    (DATA / "wanted.json").write_text(json.dumps(wanted, indent=1) + "\n")


if __name__ == "__main__":
    main()
