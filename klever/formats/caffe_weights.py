"""Counts the weights of a .caffemodel without reading them (caffe/src/caffe/proto/caffe.proto)."""

from __future__ import annotations

from typing import Final

from klever.api.wire import Walk, content, varints
from klever.formats.weights import Weights, elements

__all__ = ["count_blobs"]

_NET_LAYERS: Final = {2: 6, 100: 7}
"""The field of layers, by version, and the field of a layer's blobs."""
_BLOB_DATA, _BLOB_SHAPE, _BLOB_DOUBLE, _BLOB_RAW = 5, 7, 8, 11
_SHAPE_DIM: Final = 1
_LEGACY_DIMS: Final = (1, 2, 3, 4)
_MAX_RANK: Final = 32


def count_blobs(net: memoryview) -> Weights:
    """Count the blobs of all layers. Raises `InvalidError` for a damaged file."""
    walk, weights = Walk(), Weights()
    for number, value in walk.fields(net):
        if number in _NET_LAYERS:
            for blob in walk.messages(content(number, value), _NET_LAYERS[number]):
                _count(walk, blob, weights)
    return weights


def _count(walk: Walk, blob: memoryview, weights: Weights) -> None:
    dims: list[int] = []
    legacy: list[int] = []
    size = values = 0
    for number, value in walk.fields(blob):
        if number == _BLOB_SHAPE:
            for dim_number, dim in walk.fields(content(number, value)):
                dims += varints(dim, _MAX_RANK) if dim_number == _SHAPE_DIM else ()
        elif number in _LEGACY_DIMS and isinstance(value, int):
            legacy.append(value)
        elif number in (_BLOB_DATA, _BLOB_DOUBLE, _BLOB_RAW):
            width = 8 if number == _BLOB_DOUBLE else 4
            stored = width if isinstance(value, int) else len(value)
            size += stored
            values += stored // width
    shape = dims or legacy
    weights.add_bytes(elements(shape) if shape else values, size)
