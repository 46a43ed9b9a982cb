"""Weights and inputs of the recorded models, made from seeds, and the files that MXNet and Caffe keep weights in.

The scripts that record answers, the tests that compare with them, and `bench/conversion.py` import this module, each
in its own Python. It needs numpy alone, and knows nothing of the converters' schemas.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Shape = Sequence[int]

_MXNET_LIST = 0x112
_MXNET_ARRAY = 0xF993FAC9
"""The version that has ranks before sizes."""


def mxnet_weights(shape: Shape, sizes: Mapping[str, Shape]) -> tuple[Any, dict[str, Any]]:
    """Return an input of a shape, and the parameters of a network by name."""
    random = np.random.default_rng(3)
    data, params = random.random(tuple(shape), np.float32), {}
    for name in sorted(sizes):
        size = tuple(sizes[name])
        spread = float(3 / np.prod(size[1:])) ** 0.5 if len(size) > 1 else 0.1
        low, high = (0.5, 1.5) if name.endswith(("var", "gamma")) else (-spread, spread)
        params[name] = (random.random(size, np.float32) * np.float32(high - low) + np.float32(low)).astype("f4")
    return data, params


def write_mxnet(path: Path, params: Mapping[str, Any]) -> None:
    """Write parameters as a list of NDArrays (src/ndarray/ndarray.cc)."""
    with path.open("wb") as file:
        file.write(struct.pack("<QQQ", _MXNET_LIST, 0, len(params)))
        for array in params.values():
            file.write(struct.pack("<Iii", _MXNET_ARRAY, 0, array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape))
            file.write(struct.pack("<iii", 1, 0, 0) + array.tobytes())
        file.write(struct.pack("<Q", len(params)))
        for name in params:
            file.write(struct.pack("<Q", len(name)) + name.encode())


def caffe_weights(shape: Shape, blobs: Mapping[str, Sequence[Shape]]) -> tuple[Any, dict[str, list[Any]]]:
    """Return an input of a shape, and the blobs of a network by layer."""
    random = np.random.default_rng(5)
    data, weights = random.random(tuple(shape), np.float32) - np.float32(0.3), {}
    for name in sorted(blobs):
        arrays = []
        for size in map(tuple, blobs[name]):
            spread = (3 / np.prod(size[1:])) ** 0.5 if len(size) > 1 else 0.5
            array = (random.random(size, np.float32) * 2 - 1) * np.float32(spread)
            arrays.append(np.abs(array) + np.float32(0.5) if name.startswith(("batchnorm", "prelu")) else array)
        weights[name] = arrays
    return data, weights


def caffemodel(weights: Mapping[str, Sequence[Any]]) -> bytes:
    """Return a NetParameter with the blobs of each layer, by the field numbers of caffe.proto."""
    return b"".join(
        _message(100, _message(1, name.encode()) + b"".join(map(_blob, arrays))) for name, arrays in weights.items()
    )


def _blob(array: Any) -> bytes:
    shape = _message(7, _message(1, b"".join(map(_varint, array.shape))))
    return _message(7, shape + _message(5, array.astype("<f4").tobytes()))


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
