"""`python cases.py PROGRAMS DATA`: convert the recorded models and print how far their outputs are from the answers.

It runs in the Python of the environment `onnx`, where neither Klever nor pytest is installed. Its output is one JSON
object: case -> largest relative difference of any output, or the message of the error.
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2]))

from hack.models.weights import caffe_weights, caffemodel, mxnet_weights, write_mxnet

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
        write_mxnet(directory / "a.params", params)
        yield f"mxnet network {name}", ("mxnet_onnx",), directory, given, [np.array(network["answer"])]


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


if __name__ == "__main__":
    main()
