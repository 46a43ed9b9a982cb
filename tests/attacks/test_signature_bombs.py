"""Signatures that would become gigabytes, written by whoever pushes the model or the metadata."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from tests.attacks.memory import peak_mib, reset_peak
from tests.attacks.pushing import pack_layer, push
from tests.attacks.serving import deploy, failure, serving
from tests.e2e.platform import Platform, until

MODEL = (Path(__file__).parents[1] / "data" / "onnx" / "model" / "model.onnx").read_bytes()
OUTPUT = {"name": "Z", "size": [1], "dType": "uint8"}
MOST_MIB = 100
"""Beyond what the tests before have left resident."""


def tensor(*size: Any, **more: Any) -> dict[str, Any]:
    return {"name": "X", "size": list(size), "dType": "uint8"} | more


def signature(*inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": "ONNX", "signature": {"inputs": list(inputs), "outputs": [OUTPUT], **more}}


BOMBS: dict[str, dict[str, Any] | bytes] = {
    "2 GiB": signature(tensor(2147483648)),
    "beyond 63 bits": signature(tensor(1 << 62, 1 << 62)),
    "beyond 64 bits": signature(tensor(1 << 32, 1 << 32)),
    "negative": signature(tensor(-(1 << 62), 1 << 62)),
    "rank 10,000": signature(tensor(*([1] * 10_000))),
    "rank 10,000 of 2": signature(tensor(*([2] * 10_000))),
    "100,000 tensors": signature(*[{"name": "X"}] * 100_000),
    "5,000 tensors": signature(*[tensor(1)] * 5_000),
    "many that are large together": signature(*[tensor(1 << 26)] * 100),
    "strings": signature(tensor(1 << 26, dType="string")),
    "a long name": signature(tensor(1, name="X" * 500_000)),
    "many values": signature(tensor(1, values=["v"] * 90_000)),
    "many operators": signature(tensor(1), layers={f"op{n}": 1 for n in range(20_000)}),
    "a size that is not a number": json.dumps(signature(tensor("?"))).replace('"?"', "NaN").encode(),
    "an infinite size": json.dumps(signature(tensor("?"))).replace('"?"', "1e999").encode(),
    "digits without end": json.dumps(signature(tensor("?"))).replace('"?"', "9" * 100_000).encode(),
    "empty objects": b'{"format": "ONNX", "x": [' + b",".join([b"{}"] * 300_000) + b"]}",
    "4 MiB of text": json.dumps({"format": "ONNX", "description": "x" * (4 << 20)}).encode(),
    "deep nesting": b'{"format": "ONNX", "x": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
}


def identity(elements: int) -> bytes:
    """Return an ONNX model that gives back the bytes that it takes."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.UINT8, [elements]) for name in "XY")
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("bomb", BOMBS)
def test_metadata_beyond_the_limits_fails_its_serving(shared_platform: Platform, bomb: str) -> None:
    assert shared_platform.process is not None
    before = reset_peak(shared_platform.process.pid)
    model = push(shared_platform, f"bombs/m{uuid.uuid4().hex[:10]}", BOMBS[bomb], pack_layer({"model.onnx": MODEL}))
    assert failure(shared_platform, deploy(shared_platform, model))
    assert peak_mib(shared_platform.process.pid) - before < MOST_MIB


def test_a_model_beyond_the_limits_fails_its_extraction_and_its_serving(shared_platform: Platform) -> None:
    """Its metadata says nothing yet: what is too large stands in the model's own file."""
    content = identity(2147483648)
    model = push(
        shared_platform, f"bombs/m{uuid.uuid4().hex[:10]}", {"format": "ONNX"}, pack_layer({"m.onnx": content})
    )
    assert "--limit tensor_elements=2147483648" in failure(shared_platform, deploy(shared_platform, model))


def test_the_largest_example_is_probed_without_being_held(shared_platform: Platform) -> None:
    assert shared_platform.process is not None
    content = identity(1 << 26)
    model = push(
        shared_platform, f"bombs/m{uuid.uuid4().hex[:10]}", {"format": "ONNX"}, pack_layer({"m.onnx": content})
    )
    before = reset_peak(shared_platform.process.pid)
    name = deploy(shared_platform, model)
    path = f"/api/v1alpha1/namespaces/default/servings/{name}"
    until(lambda: json.loads(shared_platform.http("GET", path)[1]).get("status", {}).get("phase") == "Ready", 120)
    assert peak_mib(shared_platform.process.pid) - before < MOST_MIB
    (record,) = shared_platform.data.glob(f"processes/*{name}*/replica/replica.json")
    assert record.stat().st_size < 4096
    headers = {"Authorization": f"Bearer {shared_platform.token}"}
    assert shared_platform.http("DELETE", path, **headers)[0] == 200


def test_renders_by_strangers_take_no_memory_and_hold_up_no_read(shared_platform: Platform) -> None:
    assert shared_platform.process is not None
    repository = f"bombs/m{uuid.uuid4().hex[:10]}"
    config = signature(tensor(1 << 26)) | {"directoryStructure": ["model/model.onnx"]}
    large = push(shared_platform, repository, config, pack_layer({"model.onnx": MODEL}))
    huge = push(shared_platform, f"{repository}-2", BOMBS["2 GiB"], pack_layer({"model.onnx": MODEL}))
    before = reset_peak(shared_platform.process.pid)

    def render(model: str) -> int:
        path = "/api/v1alpha1/namespaces/default/servings:render"
        return shared_platform.http("POST", path, serving("it", model), **{"Content-Type": "application/json"})[0]

    with ThreadPoolExecutor(8) as threads:
        renders = [threads.submit(render, model) for model in (large, huge) * 4]
        slowest = 0.0
        while not all(one.done() for one in renders):
            began = time.monotonic()
            assert shared_platform.http("GET", "/api/v1alpha1/namespaces/default/servings")[0] == 200
            slowest = max(slowest, time.monotonic() - began)
        assert {one.result() for one in renders} <= {200, 400, 429}
    assert slowest < 5.0
    assert peak_mib(shared_platform.process.pid) - before < MOST_MIB


def test_a_render_of_what_the_store_would_refuse_is_refused(shared_platform: Platform) -> None:
    many = {"predictors": [{"name": f"p{n}", "model": "bombs/none:v1"} for n in range(5_000)]}
    path = "/api/v1alpha1/namespaces/default/servings:render"
    specs: list[dict[str, Any]] = [many, {"predictors": []}, {}]
    for spec in specs:
        body = json.dumps({"metadata": {"name": "it"}, "spec": spec})
        status, text = shared_platform.http("POST", path, body, **{"Content-Type": "application/json"})
        assert (status, json.loads(text)["code"]) == (400, 3)
