"""`python cases.py PROGRAMS DATA`: convert the recorded models and print how far their outputs are from the answers.

It runs in the Python of the environment `onnx`, where neither Klever nor pytest is installed. Its output is one JSON
object: case -> largest relative difference of any output, or the message of the error.
"""

from __future__ import annotations

import gzip
import importlib
import json
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PACKAGE = "klever.converters.programs"
NETWORKS = ("lenet", "googlenet", "squeezenet1.1", "resnet18_v2", "mobilenet0.25", "mobilenetv2_0.25", "densenet121")
"""Those of MXNet's zoo whose weights take under 50 MB; bench/conversion.py converts all of them."""
Model = tuple[str, tuple[str, ...], Path, Any, list[Any]]
"""Name, steps, directory, input, answers."""


def main() -> None:
    programs, data = map(Path, sys.argv[1:3])
    for name in ("klever", "klever.converters", PACKAGE):
        package = ModuleType(name)
        package.__path__ = [str(programs)] if name == PACKAGE else []
        sys.modules[name] = package
    found = {}
    with tempfile.TemporaryDirectory() as root:
        for number, (name, steps, model, given, answers) in enumerate(models(data, Path(root))):
            found[name] = difference(steps, model, Path(root) / f"out{number}", given, answers)
    print(json.dumps(found))


def difference(steps: tuple[str, ...], model: Path, output: Path, given: Any, answers: list[Any]) -> Any:
    """Convert a model, run it, and return the largest relative difference; or the message of the error."""
    errors = importlib.import_module(f"{PACKAGE}.errors")
    inputs = [{"name": "data", "size": [-1, *given.shape[1:]], "dType": "float32"}]
    request = {"metadata": {"signature": {"inputs": inputs}}}
    try:
        for index, step in enumerate(steps):
            target = output / str(index)
            target.mkdir(parents=True)
            importlib.import_module(f"{PACKAGE}.{step}").convert(model, target, request, {})
            model = target
        run, _ = importlib.import_module(f"{PACKAGE}.onnx_runner").load(model, {})
        results = list(run({"data": given}).values())
    except errors.ConversionError as error:
        return str(error)
    if [result.shape for result in results] != [answer.shape for answer in answers]:
        return f"shapes {[result.shape for result in results]}, expected {[answer.shape for answer in answers]}"
    pairs = zip(results, answers, strict=True)
    return max(float(np.abs(result - answer).max() / np.abs(answer).max()) for result, answer in pairs)


def models(data: Path, root: Path) -> Iterator[Model]:
    yield from mxnet_operators(data / "mxnet" / "operators.npz", root)
    yield from mxnet_networks(data / "mxnet" / "networks.json.gz", root)
    yield from caffe(data / "caffe" / "models.json.gz", root)


def mxnet_operators(path: Path, root: Path) -> Iterator[Model]:
    recorded = np.load(path)
    for name in sorted({key.partition("/")[0] for key in recorded}):
        directory = root / f"mxnet-{name}"
        directory.mkdir()
        (directory / "a-symbol.json").write_bytes(recorded[f"{name}/symbol"].tobytes())
        (directory / "a.params").write_bytes(recorded[f"{name}/params"].tobytes())
        count = sum(key.startswith(f"{name}/output") for key in recorded)
        answers = [recorded[f"{name}/output{index}"] for index in range(count)]
        yield f"mxnet operator {name}", ("mxnet_onnx",), directory, recorded[f"{name}/input"], answers


def mxnet_networks(path: Path, root: Path) -> Iterator[Model]:
    recorded = json.loads(gzip.decompress(path.read_bytes()))
    for name in sys.argv[3:] or NETWORKS:
        network = recorded[name]
        given, params = mxnet_weights(network["shape"], network["params"])
        directory = root / f"mxnet-{name}"
        directory.mkdir()
        (directory / "a-symbol.json").write_text(json.dumps(network["symbol"]))
        write_params(directory / "a.params", params)
        yield f"mxnet network {name}", ("mxnet_onnx",), directory, given, [np.array(network["answer"])]


def mxnet_weights(shape: Any, sizes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Make what `synthetic` of hack/models/mxnet_answers.py makes."""
    random = np.random.default_rng(3)
    data, params = random.random(tuple(shape), np.float32), {}
    for name in sorted(sizes):
        size = tuple(sizes[name])
        spread = (3 / max(np.prod(size[1:]), 1)) ** 0.5 if len(size) > 1 else 0.1
        low, high = (0.5, 1.5) if name.endswith(("var", "gamma")) else (-spread, spread)
        params[name] = (random.random(size, np.float32) * np.float32(high - low) + np.float32(low)).astype("f4")
    return data, params


def write_params(path: Path, params: dict[str, Any]) -> None:
    """Write a list of NDArrays of the version that has ranks before sizes (0xF993FAC9)."""
    with path.open("wb") as file:
        file.write(struct.pack("<QQQ", 0x112, 0, len(params)))
        for array in params.values():
            file.write(struct.pack("<Iii", 0xF993FAC9, 0, array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape))
            file.write(struct.pack("<iii", 1, 0, 0) + array.tobytes())
        file.write(struct.pack("<Q", len(params)))
        for name in params:
            file.write(struct.pack("<Q", len(name)) + name.encode())


def caffe(path: Path, root: Path) -> Iterator[Model]:
    recorded = json.loads(gzip.decompress(path.read_bytes()))
    for kind, found in recorded.items():
        for name, model in found.items():
            given, weights = caffe_weights(model["shape"], model["blobs"])
            directory = root / f"caffe-{kind}-{name}"
            directory.mkdir()
            (directory / "a.prototxt").write_text(model["prototxt"])
            (directory / "a.caffemodel").write_bytes(caffemodel(weights))
            answers = [np.array(model["answer"])]
            yield f"caffe {kind} {name}", ("caffe_netdef", "netdef_onnx"), directory, given, answers


def caffe_weights(shape: Any, blobs: dict[str, Any]) -> tuple[Any, dict[str, list[Any]]]:
    """Make what `synthetic` of hack/models/caffe_answers.py makes."""
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


def caffemodel(weights: dict[str, list[Any]]) -> bytes:
    """Write a NetParameter by hand, with the numbers of caffe.proto."""

    def message(number: int, content: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(content)) + content

    layers = []
    for name, arrays in weights.items():
        blobs = b"".join(
            message(7, message(7, message(1, b"".join(map(varint, a.shape)))) + message(5, a.astype("<f4").tobytes()))
            for a in arrays
        )
        layers.append(message(100, message(1, name.encode()) + blobs))
    return b"".join(layers)


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


if __name__ == "__main__":
    main()
