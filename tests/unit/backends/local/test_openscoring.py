"""PMML on real PMML4S, in the strongest sandbox of this machine, by OpenScoring's REST API and by Open Inference."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp
import grpc.aio
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from klever.backends import Instance
from klever.limits import DEFAULTS
from klever.runtimes.openscoring import OpenScoringJar
from klever.runtimes.table import create_all
from tests.contract.backend import KEY, until_ready, workload
from tests.unit.backends.local.machine import Machine, adder, open_session

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(shutil.which("java") is None, reason="needs a Java runtime"),
]
PMML = Path(__file__).parents[3] / "data" / "pmml" / "model" / "naive_bayes.pmml"
CAR = {"displ": 1.8, "year": 1999, "cyl": 4, "class": "compact"}
NUMBERS = {"displ": "<f8", "year": "<f8", "cyl": "<f8"}
BINARY = {"binary_data": True}


async def deploy(machine: Machine, jar: OpenScoringJar | None = None, **variables: str) -> Instance:
    def fetch(reference: str, content: str, into: Path) -> None:
        (into / "model").mkdir()
        shutil.copy(PMML, into / "model")

    backend = await machine.backend(fetch=fetch, runtimes=create_all(openscoring={"jar": jar}))
    env = tuple({"name": name, "value": value} for name, value in variables.items())
    await backend.ensure(workload(replace(adder(), format="PMML", runtime="openscoring", signature=None, env=env)))
    (instance,) = await until_ready(backend, 1)
    return instance


class Client:
    """Asks a server, below its URL."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | BytesIO | None) else json.dumps(body)
        async with self.session.request(method, self.url + path, data=data, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type == "application/json" else text


@pytest.fixture
async def served(machine: Machine) -> Instance:
    return await deploy(machine, OPENSCORING_DEPLOY="true")


@pytest.fixture
async def client(served: Instance) -> AsyncIterator[Client]:
    async with open_session(served.http) as (session, url):
        yield Client(session, url)


async def test_the_rest_api_is_openscorings(client: Client) -> None:
    model = f"/openscoring/model/{KEY.name}"
    status, described = await client.ask("GET", model)
    assert (status, described["id"], described["miningFunction"]) == (200, KEY.name, "classification")
    assert [field["id"] for field in described["schema"]["inputFields"]] == list(CAR)
    assert [field["id"] for field in described["schema"]["targetFields"]] == ["drv"]
    assert (await client.ask("GET", f"{model}/pmml"))[1] == PMML.read_text()
    status, answer = await client.ask("POST", model, {"id": "a", "arguments": CAR})
    assert (status, answer["id"], answer["results"]["drv"]) == (200, "a", "f")
    assert answer["results"]["probability(f)"] == pytest.approx(0.9999969681903341)
    records = [{"id": "1", "arguments": CAR}, {"id": "2", "arguments": {"class": "boat"}}]
    status, answer = await client.ask("POST", f"{model}/batch", {"id": "b", "requests": records})
    assert (answer["id"], answer["responses"][0]["results"]["drv"]) == ("b", "f")
    assert "'boat' must be one of" in answer["responses"][1]["message"]
    status, table = await client.ask("POST", f"{model}/csv", b"Id,displ,year,cyl,class\n7,1.8,1999,4,compact\n")
    assert table.splitlines()[1].startswith("7,f,")
    bad = b"displ,year,cyl,class\n1.8,1999,4,compact\nbig,1999,4,suv\n"
    assert (await client.ask("POST", f"{model}/csv", bad))[0] == 400


async def test_further_models_come_and_go_and_the_pinned_one_stays(client: Client) -> None:
    other, pinned = "/openscoring/model/other", f"/openscoring/model/{KEY.name}"
    kind = {"Content-Type": "application/xml"}
    assert (await client.ask("PUT", other, PMML.read_bytes(), **kind))[0] == 201
    zipped = gzip.compress(PMML.read_bytes())
    assert (await client.ask("PUT", other, zipped, **kind, **{"Content-Encoding": "gzip"}))[0] == 200
    listed = (await client.ask("GET", "/openscoring/model"))[1]["responses"]
    assert [model["id"] for model in listed] == sorted(["other", KEY.name])
    assert (await client.ask("PUT", "/openscoring/model/bad", b"<PMML>", **kind))[0] == 400
    assert (await client.ask("DELETE", other))[0] == 200
    assert (await client.ask("GET", other))[0] == 404
    assert (await client.ask("DELETE", pinned))[0] == 403
    assert (await client.ask("PUT", pinned, PMML.read_bytes(), **kind))[0] == 403


async def test_the_same_model_answers_by_open_inference(client: Client) -> None:
    model = f"/v2/models/{KEY.name}"
    status, described = await client.ask("GET", model)
    assert [tensor["name"] for tensor in described["inputs"]] == list(CAR)
    inputs = [{**tensor, "shape": [2], "data": [CAR[tensor["name"]]] * 2} for tensor in described["inputs"]]
    status, answer = await client.ask("POST", f"{model}/infer", {"inputs": inputs})
    assert status == 200, answer
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs.keys() == {tensor["name"] for tensor in described["outputs"]}
    assert (outputs["drv"]["datatype"], outputs["drv"]["data"]) == ("BYTES", ["f", "f"])
    binary = {"inputs": inputs, "outputs": [{"name": "drv"}, {"name": "probability(f)", "parameters": BINARY}]}
    content = b"".join(np.full(2, CAR[name], dtype).tobytes() for name, dtype in NUMBERS.items())
    for tensor in inputs[:3]:
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": 16}
    head = json.dumps(binary).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    url = f"{client.url}{model}/infer"
    async with client.session.post(url, data=head + content, headers=headers) as response:
        body, size = await response.read(), int(response.headers["Inference-Header-Content-Length"])
    assert json.loads(body[:size])["outputs"][0]["data"] == ["f", "f"]
    assert np.frombuffer(body[size:]).tolist() == pytest.approx([0.9999969681903341] * 2)
    for bad in (head + content[:-1], head + content + b"x", head[:-1]):
        status, answer = await client.ask("POST", f"{model}/infer", bad, **headers)
        assert (status, list(answer)) == (400, ["error"])


async def test_the_same_model_answers_by_grpc(served: Instance) -> None:
    async with grpc.aio.insecure_channel(served.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        described = await stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=KEY.name))
        assert next((one.name, one.datatype, list(one.shape)) for one in described.inputs) == ("displ", "FP64", [-1])
        assert (await stub.ModelReady(service_pb2.ModelReadyRequest(name=KEY.name))).ready
        answer = await stub.ModelInfer(request(raw=True))
        assert answer == await stub.ModelInfer(request(raw=False))
        assert answer.outputs[0].name == "drv"
        assert answer.raw_output_contents[0] == b"\1\0\0\0f"
        (streamed,) = [one async for one in stub.ModelStreamInfer(iter([request(raw=True)]))]
        assert streamed.infer_response == answer
        unknown = request(raw=True)
        unknown.model_name = "other"
        with pytest.raises(grpc.aio.AioRpcError, check=lambda error: error.code() is grpc.StatusCode.NOT_FOUND):
            await stub.ModelInfer(unknown)
        wrong = request(raw=True)
        wrong.raw_input_contents[0] = b"x"
        with pytest.raises(grpc.aio.AioRpcError, check=lambda error: error.code() is grpc.StatusCode.INVALID_ARGUMENT):
            await stub.ModelInfer(wrong)


def request(*, raw: bool) -> Any:
    """One row of CAR: numbers as FP64 and INT64, the text as BYTES."""
    made = service_pb2.ModelInferRequest(model_name=KEY.name)
    for name, value in CAR.items():
        kind = {float: "FP64", int: "INT64", str: "BYTES"}[type(value)]
        made.inputs.add(name=name, datatype=kind, shape=[1])
        text = str(value).encode()
        if raw and kind == "BYTES":
            made.raw_input_contents.append(len(text).to_bytes(4, "little") + text)
        elif raw:
            made.raw_input_contents.append(np.array(value).tobytes())
        elif kind == "BYTES":
            made.inputs[-1].contents.bytes_contents.append(text)
        else:
            contents = made.inputs[-1].contents
            (contents.fp64_contents if kind == "FP64" else contents.int64_contents).append(value)
    return made


async def test_large_requests_are_refused(served: Instance, client: Client) -> None:
    """A batch of 500,000 records, or a table of a million rows, took the memory of the replica."""
    model = f"/openscoring/model/{KEY.name}"
    record = b'{"arguments":{}}'
    too_large = (
        ("scored_records", "batch", b'{"requests":[' + b",".join([record] * 20_000) + b"]}"),
        ("scored_values", "batch", b'{"requests":[' + b",".join([record] * 500_000) + b"]}"),
        ("scored_records", "csv", b"displ,year\n" + b"1.8,1999\n" * 20_000),
        ("scored_values", "csv", b"displ,year\n" + b"1.8,1999\n" * 1_000_001),
        ("scored_values", "csv", b"displ," * 900_000 + b"\n" + b"1\n" * 2),
        ("request_depth", "batch", b'{"requests":' + b"[" * 101 + b"]" * 101 + b"}"),
        ("request_depth", "batch", b'{"requests":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    )
    for limit, verb, body in too_large:
        status, answer = await client.ask("POST", f"{model}/{verb}", BytesIO(body))
        assert (status, limit in answer["message"]) == (400, True), (limit, answer)
    inputs = [{"name": "displ", "datatype": "FP64", "shape": [20_000], "data": [1.8] * 20_000}]
    status, answer = await client.ask("POST", f"/v2/models/{KEY.name}/infer", {"inputs": inputs})
    assert (status, "scored_records" in answer["error"]) == (400, True)
    async with grpc.aio.insecure_channel(served.grpc) as channel:
        large = request(raw=True)
        large.raw_input_contents[0] = bytes(8 * 20_000)
        with pytest.raises(grpc.aio.AioRpcError, match="scored_records"):
            await service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(large)


async def test_values_of_callers_are_quoted_in_short(client: Client) -> None:
    model = f"/openscoring/model/{KEY.name}"
    nested: Any = "x" * 100_000
    for _ in range(90):
        nested = [nested]
    for request in ({"arguments": {"displ": nested}}, {"id": nested, "arguments": CAR}):
        status, answer = await client.ask("POST", model, request)
        assert (status, len(answer["message"]) < 1_000) == (400, True)


async def test_callers_add_so_many_models(served: Instance) -> None:
    async with open_session(served.http) as (session, url):
        client = Client(session, url)
        for number in range(DEFAULTS.uploaded_models):
            assert (await client.ask("PUT", f"/openscoring/model/m{number}", PMML.read_bytes()))[0] == 201
        status, answer = await client.ask("PUT", "/openscoring/model/more", PMML.read_bytes())
        assert (status, "uploaded_models" in answer["message"]) == (400, True)
        assert (await client.ask("PUT", "/openscoring/model/m0", PMML.read_bytes()))[0] == 200
        assert (await client.ask("DELETE", "/openscoring/model/m0"))[0] == 200
        assert (await client.ask("PUT", "/openscoring/model/more", PMML.read_bytes()))[0] == 201


async def test_the_operators_openscoring_serves_the_model_if_its_jar_is_named(machine: Machine) -> None:
    file = machine.root / "openscoring.jar"
    file.write_text("the jar")
    here = PurePosixPath(__file__).parent
    instance = await deploy(machine, OpenScoringJar(PurePosixPath(file), here / "jdk"))
    async with open_session(instance.http) as (session, url):
        status, found = await Client(session, url).ask("GET", f"/openscoring/model/{KEY.name}")
    assert (status, found["jar"], found["root"]) == (200, "the jar", "<PMML")
    assert found["settings"] == 'networkSecurityContextFilter.trustedAddresses = ["0.0.0.0"]\n'
