"""Environment variables that would run code or write files: refused on create, by every way in."""

from __future__ import annotations

import json
import uuid
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from klever.v1alpha1.job_service_pb2 import ApplyModelJobRequest, CreateModelJobRequest
from klever.v1alpha1.job_service_pb2_grpc import JobServiceStub
from klever.v1alpha1.modeljob_pb2 import ModelJob
from klever.v1alpha1.serving_pb2 import Serving
from klever.v1alpha1.serving_service_pb2 import ApplyServingRequest, CreateServingRequest
from klever.v1alpha1.serving_service_pb2_grpc import ServingServiceStub
from tests.e2e.platform import Platform
from tests.unit.api.test_environment import HOSTILE, PLATFORM

BASE = "/api/v1alpha1/namespaces/default"


def named() -> str:
    return f"e-{uuid.uuid4().hex[:10]}"


@pytest.mark.parametrize("variable", [*HOSTILE, *PLATFORM])
def test_a_hostile_variable_is_refused(shared_platform: Platform, variable: str) -> None:
    name, env = named(), [{"name": "A", "value": "b"}, {"name": variable, "value": "/tmp/evil"}]
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {shared_platform.token}"}
    job = {"model": "team/m:v1", "extraction": {"format": "ONNX"}, "env": env}
    predictor = {"name": "main", "model": "team/m:v1", "env": env}
    for kind, spec in (("modeljobs", job), ("servings", {"predictors": [predictor]})):
        body = json.dumps({"metadata": {"name": name}, "spec": spec})
        for method, path in (("POST", f"{BASE}/{kind}"), ("PUT", f"{BASE}/{kind}/{name}")):
            status, text = shared_platform.http(method, path, body, **headers)
            assert status in (400, 404, 405), text
        assert shared_platform.http("GET", f"{BASE}/{kind}/{name}")[0] == 404


@pytest.mark.parametrize("variable", ["LD_PRELOAD", "BASH_ENV", "PYTHONPATH", *PLATFORM])
def test_a_hostile_variable_is_refused_over_grpc(shared_platform: Platform, variable: str) -> None:
    metadata = (("authorization", f"Bearer {shared_platform.token}"),)
    job, serving = ModelJob(), Serving()
    job.metadata.name = serving.metadata.name = named()
    job.spec.model, job.spec.extraction.format = "team/m:v1", "ONNX"
    job.spec.env.add(name=variable, value="/tmp/evil")
    predictor = serving.spec.predictors.add(name="main", model="team/m:v1")
    predictor.env.add(name=variable, value="/tmp/evil")
    with grpc.insecure_channel(f"127.0.0.1:{shared_platform.port}") as channel:
        jobs, servings = JobServiceStub(channel), ServingServiceStub(channel)
        calls: list[tuple[Any, Message]] = [
            (jobs.CreateModelJob, CreateModelJobRequest(model_job=job)),
            (jobs.ApplyModelJob, ApplyModelJobRequest(name=job.metadata.name, model_job=job)),
            (servings.CreateServing, CreateServingRequest(serving=serving)),
            (servings.ApplyServing, ApplyServingRequest(name=serving.metadata.name, serving=serving)),
        ]
        for call, request in calls:
            with pytest.raises(grpc.RpcError) as refused:
                call(request, metadata=metadata, timeout=30)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_variables_of_the_originals_tasks_are_accepted(shared_platform: Platform) -> None:
    env = [{"name": name, "value": "x"} for name in ("INPUTS", "OUTPUTS", "USING_ORMBFILE")]
    body = {"metadata": {"name": named()}, "spec": {"model": "team/m:v1", "extraction": {"format": "ONNX"}, "env": env}}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {shared_platform.token}"}
    status, text = shared_platform.http("POST", f"{BASE}/modeljobs", json.dumps(body), **headers)
    assert status == 200, text
