"""Real Triton in front of real models: what its users see."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import onnx
import pytest
from google.protobuf.message import Message
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2, service_pb2_grpc

from klever.backends import Instance
from klever.errors import FailedPreconditionError
from klever.formats.onnx import read_signature
from tests.contract.backend import FILES, KEY, until_ready, workload
from tests.unit.backends.local.machine import Machine, adder, open_session

pytestmark = pytest.mark.triton
Value = tuple[str, int, list[int | str]]


def save(path: Path, nodes: list[onnx.NodeProto], inputs: list[Value], outputs: list[Value]) -> Path:
    """Write `model.onnx` below `path` and return the model directory."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.mkdir()
    onnx.save(model, path / "model.onnx")
    return path


async def deploy(machine: Machine, directory: Path) -> Instance:
    """Serve a model directory under the name `adder` and wait until it is Ready."""

    def fetch(reference: str, content: str, into: Path) -> None:
        shutil.copytree(directory, into / "model")

    backend = await machine.backend(fetch=fetch)
    await backend.ensure(workload(replace(adder(), signature=read_signature(directory))))
    (instance,) = await until_ready(backend, 1)
    return instance


async def post(instance: Instance, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    async with open_session(instance.http) as (session, url):
        response = await session.post(f"{url}/{path}", data=body, headers=headers)
        return response.status, json.loads(await response.text() or "null")


async def infer(instance: Instance, inputs: list[dict[str, Any]], binary: bytes = b"") -> tuple[int, Any]:
    head = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))} if binary else {}
    return await post(instance, "v2/models/adder/infer", head + binary, **headers)


async def test_strings_booleans_halves_and_scalars_go_through(machine: Machine, tmp_path: Path) -> None:
    directory = save(
        tmp_path / "odd",
        [
            helper.make_node("Identity", ["s"], ["same"]),
            helper.make_node("Not", ["b"], ["not"]),
            helper.make_node("Cast", ["h"], ["double"], to=TensorProto.DOUBLE),
            helper.make_node("Add", ["n", "n"], ["twice"]),
        ],
        [
            ("s", TensorProto.STRING, ["batch", 2]),
            ("b", TensorProto.BOOL, [2]),
            ("h", TensorProto.FLOAT16, [2]),
            ("n", TensorProto.INT64, []),
        ],
        [
            ("same", TensorProto.STRING, ["batch", 2]),
            ("not", TensorProto.BOOL, [2]),
            ("double", TensorProto.DOUBLE, [2]),
            ("twice", TensorProto.INT64, []),
        ],
    )
    status, answer = await infer(
        await deploy(machine, directory),
        [
            {"name": "s", "shape": [1, 2], "datatype": "BYTES", "data": ["grüezi", ""]},
            {"name": "b", "shape": [2], "datatype": "BOOL", "data": [True, False]},
            {"name": "h", "shape": [2], "datatype": "FP16", "parameters": {"binary_data_size": 4}},
            {"name": "n", "shape": [1], "datatype": "INT64", "data": [21]},
        ],
        struct.pack("<ee", 1.5, -2),
    )
    assert status == 200, answer
    assert {output["name"]: output["data"] for output in answer["outputs"]} == {
        "same": ["grüezi", ""],
        "not": [False, True],
        "double": [1.5, -2],
        "twice": [42],
    }


async def test_a_model_that_refuses_zeros_is_ready_and_says_so(machine: Machine, tmp_path: Path) -> None:
    """Element `i` of a tensor of two, counted from 5 below: 0 is out of its range."""
    shift = helper.make_tensor("five", TensorProto.INT64, [1], [5])
    directory = save(
        tmp_path / "picky",
        [
            helper.make_node("Constant", [], ["five"], value=shift),
            helper.make_node("Add", ["i", "five"], ["at"]),
            helper.make_node("Gather", ["x", "at"], ["y"], axis=0),
        ],
        [("x", TensorProto.FLOAT, [2]), ("i", TensorProto.INT64, [1])],
        [("y", TensorProto.FLOAT, [1])],
    )
    instance = await deploy(machine, directory)
    assert "out of data bounds" in instance.message
    x = {"name": "x", "shape": [2], "datatype": "FP32", "data": [7, 8]}
    status, answer = await infer(instance, [x, {"name": "i", "shape": [1], "datatype": "INT64", "data": [-4]}])
    assert (status, answer["outputs"][0]["data"]) == (200, [8])
    status, answer = await infer(instance, [x, {"name": "i", "shape": [1], "datatype": "INT64", "data": [0]}])
    assert status == 400
    assert "out of data bounds" in answer["error"]


async def test_weights_beside_the_model_are_found(machine: Machine, tmp_path: Path) -> None:
    directory = tmp_path / "external"
    directory.mkdir()
    weights = helper.make_tensor("w", TensorProto.FLOAT, [512], [2.0] * 512)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [512])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, directory / "net.onnx", save_as_external_data=True, location="w.bin", convert_attribute=True)
    instance = await deploy(machine, directory)
    x = {"name": "x", "shape": [512], "datatype": "FP32", "data": [1.5] * 512}
    status, answer = await infer(instance, [x])
    assert (status, answer["outputs"][0]["data"]) == (200, [3.0] * 512)


@pytest.fixture
async def served(machine: Machine) -> Instance:
    backend = await machine.backend()
    await backend.ensure(workload(adder()))
    (instance,) = await until_ready(backend, 1)
    return instance


@pytest.mark.parametrize(
    "path",
    [
        "v2/repository/index",
        "v2/repository/models/adder/load",
        "v2/repository/models/adder/unload",
        "v2/systemsharedmemory/region/r/register",
        "v2/cudasharedmemory/region/r/register",
        "v2/trace/setting",
        "v2/logging",
    ],
)
async def test_tritons_own_control_is_closed_over_http(served: Instance, path: str) -> None:
    status, answer = await post(served, path, b"{}")
    assert status == 403
    assert "restricted" in answer["error"]


async def test_tritons_own_control_is_closed_over_grpc(served: Instance) -> None:
    async with grpc.aio.insecure_channel(served.grpc) as channel:
        triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        ready = await triton.ModelReady(service_pb2.ModelReadyRequest(name=KEY.name))
        assert ready.ready
        calls: list[tuple[Any, Message]] = [
            (triton.RepositoryIndex, service_pb2.RepositoryIndexRequest()),
            (triton.RepositoryModelUnload, service_pb2.RepositoryModelUnloadRequest(model_name=KEY.name)),
            (triton.SystemSharedMemoryStatus, service_pb2.SystemSharedMemoryStatusRequest()),
            (triton.TraceSetting, service_pb2.TraceSettingRequest()),
            (triton.LogSettings, service_pb2.LogSettingsRequest()),
        ]
        for call, request in calls:
            with pytest.raises(grpc.aio.AioRpcError, match="restricted"):
                await call(request)


async def test_it_counts_its_inferences(served: Instance) -> None:
    async with open_session(served.metrics) as (session, url):
        response = await session.get(f"{url}/metrics")
        assert 'nv_inference_count{model="adder",version="1"}' in await response.text()


async def test_a_model_is_rendered_without_serving_it(machine: Machine) -> None:
    backend = await machine.backend()
    rendering = await backend.render(KEY, adder(), FILES)
    assert set(rendering.files) == {"command", "models/adder/config.pbtxt"}
    assert rendering.instance.grpc
    assert await backend.list() == ()
    assert machine.fetched == []


async def test_a_model_whose_files_are_not_known_is_not_rendered(machine: Machine) -> None:
    backend = await machine.backend()
    with pytest.raises(FailedPreconditionError) as refused:
        await backend.render(KEY, adder(), ())
    assert (refused.value.reason, machine.fetched) == ("MODEL_NOT_PULLED", [])
    await backend.ensure(workload(adder()))
    await until_ready(backend, 1)
    assert (await backend.render(KEY, adder(), ())).files
