"""Hostile and damaged models: each program ends with an error in one line, in bounded memory and time."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from klever.converters.builtin import BUILT_IN, BuiltIn
from tests.conversion.conftest import environment_python
from tests.unit.formats.hostile_caffe import CAFFE, data, layer, net
from tests.unit.formats.hostile_files import Build, build_model, sparse
from tests.unit.formats.test_hostile_models import EMPTY_LIST, MXNET, NET_DEF, f, nets, symbol, varint

pytestmark = pytest.mark.e2e

DATA = Path(__file__).parents[1] / "data"
BOOSTER = json.loads((DATA / "boosters" / "regression.json").read_bytes())
TREES = (DATA / "boosters" / "number.txt").read_bytes()
MOST_MIB = 1024
LIMIT_S = 120.0


class Calls:
    """A pickle that calls a function when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def booster(change: Callable[[Any], object]) -> bytes:
    document = json.loads(json.dumps(BOOSTER))
    change(document["learner"])
    return json.dumps(document).encode()


def tree(learner: Any) -> Any:
    return learner["gradient_booster"]["model"]["trees"][0]


def children(target: int) -> Callable[[Any], object]:
    return lambda learner: tree(learner).update(left_children=[target] * len(tree(learner)["left_children"]))


def trees(field: bytes, value: bytes) -> bytes:
    """LightGBM's text with other numbers in a field."""
    return re.sub(rb"\b%s=[^\n]*" % field, lambda found: re.sub(rb"(?<==| )-?\d+", value, found[0]), TREES)


def operator(kind: str, reads: str, writes: str, *arguments: bytes) -> bytes:
    return f(2, f(1, reads) + f(2, writes) + f(4, kind) + b"".join(f(5, argument) for argument in arguments))


SHAPE = f(1, "shape") + (b"\x30" + varint(1 << 40)) * 2
FILL = f(2, f(2, "w") + f(4, "ConstantFill") + f(5, SHAPE))
ENDS = f(7, "x") + f(7, "w") + f(8, "y")
CYCLE = [{"op": "relu", "name": name, "inputs": [[other, 0]]} for name, other in (("a", 1), ("b", 0))]
CYCLIC = json.dumps({"nodes": CYCLE, "heads": [[1, 0]]})
RANK = struct.pack("<QQQIii", 0x112, 0, 1, 0xF993FAC9, 0, (1 << 31) - 1) + bytes(64)

MODELS: dict[str, tuple[str, str, dict[str, Build]]] = {
    "CaffeModel": ("m.prototxt", "onnx", {
        **{name: CAFFE[name] for name in (
            "a million brackets", "two million fields", "5 MB", "a layer that reads itself", "sizes below zero",
            "weights that are cut off", "a blob of rank 999,999", "a FIFO", "a rank of 100,000",
        )},
        "sizes of 2**40": net(data(1, 1 << 40, 1 << 20, 8) + layer("ReLU")),
    }),
    "NetDef": ("predict_net.pb", "onnx", {
        **{name: NET_DEF[name] for name in ("not protobuf", "an operator that ends early", "a rank of a million")},
        "a constant of 2**80 elements": nets(FILL, operator("Add", "x", "y") + ENDS),
        "operators that read each other": nets(b"", operator("Relu", "b", "a") + operator("Relu", "a", "b") + ENDS),
    }),
    "MXNetParams": ("m-symbol.json", "onnx", {
        **{name: MXNET[name] for name in ("JSON nested deep", "2**63 arrays", "a shape that overflows", "no heads")},
        "a rank of 2**31": symbol('{"nodes": [], "heads": []}', RANK),
        "operators that read each other": symbol(CYCLIC, EMPTY_LIST),
    }),
    "ONNX": ("m.onnx", "onnx", {
        "cut off": (DATA / "onnx" / "model" / "model.onnx").read_bytes()[:60],
        "more than 2 GiB": lambda directory: sparse(directory / "m.onnx", (2 << 30) + 1),
        "a link to a device": lambda directory: (directory / "m.onnx").symlink_to("/dev/zero"),
    }),
    "SKLearn": ("m.joblib", "tabular-onnx", {
        "cut off": (DATA / "serving" / "sklearn" / "model" / "iris.joblib").read_bytes()[:500],
        "a terabyte": pickle.dumps(Calls(bytearray, 1 << 40)),
        "a call of sys.exit": pickle.dumps(Calls(sys.exit, 0)),
        "a call of os._exit": pickle.dumps(Calls(os._exit, 0)),
        "a crash": pickle.dumps(Calls(os.abort)),
        "not an estimator": pickle.dumps({"a": 1}),
    }),
    "XGBoost": ("model.json", "tabular-onnx", {
        "cut off": json.dumps(BOOSTER).encode()[:900],
        "two billion features": booster(lambda known: known["learner_model_param"].update(num_feature="2000000000")),
        "a tree that is its own child": booster(children(0)),
        "a child beyond the tree": booster(children(10**9)),
    }),
    "LightGBM": ("model.txt", "tabular-onnx", {
        "cut off": TREES[: len(TREES) // 2],
        "two billion leaves": trees(b"num_leaves", b"2000000000"),
        "a tree that is its own child": trees(b"left_child", b"0"),
        "a feature beyond the table": trees(b"split_feature", b"99999999"),
    }),
    "GraphDef": ("m.graphdef", "tensorflow", {
        "cut off": (DATA / "graphdef" / "model" / "model.graphdef").read_bytes()[:40],
        "nodes that read each other": b"".join(
            f(1, f(1, name) + f(2, "Relu") + f(3, other)) for name, other in (("a", "b"), ("b", "a"))
        ),
    }),
    "H5": ("m.h5", "tensorflow", {"cut off": next((DATA / "h5" / "model").iterdir()).read_bytes()[:3000]}),
}  # fmt: skip
CASES = [(source, case) for source, (_, _, cases) in MODELS.items() for case in cases]


@dataclass
class Ended:
    code: int
    mib: float
    errors: str
    word: str


def run(source: str, model: Path, root: Path) -> Ended:
    """Run the program of a pair to its end, as the executor does, but without the sandbox."""
    found = BUILT_IN[source, "ONNX"]
    assert isinstance(found, BuiltIn)
    request = {
        "model": str(model),
        "output": str(root / "model"),
        "report": str(root / "report.json"),
        "metadata": {},
        "options": dict(found.options),
    }
    (root / "request.json").write_text(json.dumps(request))
    argv = [str(environment_python(found.environment)), "-I", str(found.program), str(root / "request.json")]
    word = root / "word"
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(argv, env={"KLEVER_TERMINATION_LOG": str(word)}, stdout=log, stderr=log)
        until = time.monotonic() + LIMIT_S
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if time.monotonic() > until:
                process.kill()
            time.sleep(0.02)  # wait4 has no timeout
        process.returncode = os.waitstatus_to_exitcode(ended[1])
    said = word.read_text() if word.exists() else ""
    return Ended(process.returncode, ended[2].ru_maxrss / 1024, (root / "log").read_text(errors="replace"), said)


@pytest.mark.parametrize(("source", "case"), CASES, ids=[f"{source}, {case}" for source, case in CASES])
def test_a_hostile_model_is_an_error_in_one_line(source: str, case: str, tmp_path: Path) -> None:
    name, _, cases = MODELS[source]
    model, work = tmp_path / "source", tmp_path / "work"
    model.mkdir()
    work.mkdir()
    build_model(cases[case], model / name)
    done = run(source, model, work)
    assert done.code == 1, done
    assert done.word, done
    assert len(done.word.splitlines()) == 1
    assert len(done.word) < 600
    assert done.word.isprintable()
    assert "Traceback" not in done.errors
    assert done.mib < MOST_MIB, done
