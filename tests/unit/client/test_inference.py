"""Predictions against a server of this process, with each client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from klever import AsyncClient, Client
from klever.client.tensors import Prediction
from klever.errors import InvalidError, NotFoundError, UnavailableError
from klever.v1alpha1.serving_pb2 import Serving
from tests.unit.client.server import Answer, running


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


class Model:
    """A Serving of a model that doubles its input `x`; fails as long as there are errors."""

    def __init__(self, *errors: Exception, runtime: str = "triton") -> None:
        self.errors = list(errors)
        self.descriptions = 0
        self.metadata: dict[str, Any] = {}
        self.serving = Serving()
        self.serving.status.predictors.add(name="main", runtime=runtime)
        self.serving.status.conditions.add(type="Ready", status="False", message="it is starting")

    def answers(self) -> dict[str, Answer]:
        return {"GetServing": lambda *_: self.serving, "ModelMetadata": self._describe, "ModelInfer": self._infer}

    def _describe(self, request: Any, _: Any) -> Any:
        self.descriptions += 1
        described = service_pb2.ModelMetadataResponse(name=request.name)
        described.inputs.add(name="x", datatype="FP32", shape=[-1, 2])
        return described

    def _infer(self, request: Any, context: Any) -> Any:
        self.metadata = dict(context.invocation_metadata())
        if self.errors:
            raise self.errors.pop(0)
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        response.outputs.add(name="y", datatype="FP32", shape=request.inputs[0].shape)
        response.raw_output_contents.append((2 * np.frombuffer(request.raw_input_contents[0], np.float32)).tobytes())
        return response


async def predict(asynchronous: bool, server: str, times: int = 1, **options: Any) -> Prediction:
    """Return the last of some predictions."""
    if asynchronous:
        async with AsyncClient(server) as other:
            return [await other.predict("digits", x=[1, 2], **options) for _ in range(times)][-1]
    with Client(server) as client:
        return [client.predict("digits", x=[1, 2], **options) for _ in range(times)][-1]


both = pytest.mark.parametrize("asynchronous", [False, True])


@both
async def test_a_model_is_described_once(asynchronous: bool) -> None:
    model = Model()
    with running(**model.answers()) as server:
        prediction = await predict(asynchronous, server, 3, namespace="team", headers={"X-User": "beta"})
    assert (prediction.array.tolist(), prediction.model_name) == ([[2.0, 4.0]], "digits")
    assert model.descriptions == 1
    assert {"seldon": "digits", "namespace": "team", "x-user": "beta"}.items() <= model.metadata.items()


def test_a_model_is_described_again_after_an_error() -> None:
    model = Model(InvalidError("another shape"))
    with running(**model.answers()) as server, Client(server) as client:
        with pytest.raises(InvalidError):
            client.predict("digits", x=[1, 2])
        assert client.predict("digits", [1, 2]).array.tolist() == [[2.0, 4.0]]
    assert model.descriptions == 2


@both
@pytest.mark.parametrize("error", [NotFoundError("no route"), UnavailableError("no predictor is ready")])
async def test_a_serving_that_does_not_answer_tells_its_state(asynchronous: bool, error: Exception) -> None:
    model = Model(error)
    with running(**model.answers()) as server, pytest.raises(UnavailableError) as raised:
        await predict(asynchronous, server)
    assert "it is starting" in raised.value.message
    assert "klever up" not in raised.value.message


def test_a_language_model_is_not_asked_for_tensors() -> None:
    model = Model(runtime="llamacpp")
    with running(**model.answers()) as server, Client(server) as client, pytest.raises(InvalidError):
        client.predict("digits", x=[1, 2])
