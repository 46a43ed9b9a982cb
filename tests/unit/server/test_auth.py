"""The verb and the object that each RPC asks the Authorizer for."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor

from klever.api.kinds import KINDS
from klever.auth import Resource
from klever.server.auth import Action
from klever.server.services import JOBS, MODELS, SERVER, SERVINGS
from klever.v1alpha1 import job_service_pb2, model_service_pb2, server_service_pb2, serving_service_pb2
from klever.v1alpha1.meta_pb2 import ObjectMeta
from klever.v1alpha1.serving_pb2 import Serving

ACTIONS = {
    "CreateProject": ("create", "Project", ""),
    "ListProjects": ("list", "Project", ""),
    "GetProject": ("get", "Project", ""),
    "UpdateProject": ("update", "Project", ""),
    "DeleteProject": ("delete", "Project", ""),
    "DeleteModel": ("delete", "Model", ""),
    "WatchModels": ("watch", "Model", ""),
    "GetServerInfo": ("get", "ServerInfo", ""),
    "UpdateModelJob": ("update", "ModelJob", ""),
    "ListModels": ("list", "Model", ""),
    "GetModel": ("get", "Model", ""),
    "ListModelVersions": ("list", "ModelVersion", ""),
    "GetModelVersion": ("get", "ModelVersion", ""),
    "TagModelVersion": ("update", "ModelVersion", "tag"),
    "DeleteModelVersion": ("delete", "ModelVersion", ""),
    "CreateModelJob": ("create", "ModelJob", ""),
    "ApplyModelJob": ("patch", "ModelJob", ""),
    "GetModelJob": ("get", "ModelJob", ""),
    "ListModelJobs": ("list", "ModelJob", ""),
    "DeleteModelJob": ("delete", "ModelJob", ""),
    "CancelModelJob": ("update", "ModelJob", "cancel"),
    "WatchModelJobs": ("watch", "ModelJob", ""),
    "CreateServing": ("create", "Serving", ""),
    "ApplyServing": ("patch", "Serving", ""),
    "GetServing": ("get", "Serving", ""),
    "ListServings": ("list", "Serving", ""),
    "UpdateServing": ("update", "Serving", ""),
    "DeleteServing": ("delete", "Serving", ""),
    "WatchServings": ("watch", "Serving", ""),
    "SetTraffic": ("update", "Serving", "traffic"),
    "ListServingRevisions": ("list", "ServingRevision", ""),
    "RollbackServing": ("update", "Serving", "rollback"),
    "PromoteServing": ("update", "Serving", "promote"),
    "AbortServing": ("update", "Serving", "abort"),
    "ScaleServing": ("update", "Serving", "scale"),
    "ListInstances": ("list", "Serving", "instances"),
    "RenderServing": ("get", "Serving", "render"),
}


def parse(method: MethodDescriptor) -> Action:
    return Action.parse(method, [kind for kind in KINDS if kind.service is method.containing_service])


def test_every_rpc_has_its_action() -> None:
    """A new RPC fails here until it has a row above."""
    parsed = {m.name: parse(m) for s in (MODELS, JOBS, SERVINGS, SERVER) for m in s.methods}
    shared = {"ListEvents": ("list", "Serving", "events"), "StreamLogs": ("get", "Serving", "logs")}
    assert {n: (a.verb, a.kind, a.subresource) for n, a in parsed.items()} == ACTIONS | shared
    assert parse(JOBS.methods_by_name["StreamLogs"]) == Action("get", "ModelJob", "logs")


@pytest.mark.parametrize(
    ("service", "method", "request_", "resource"),
    [
        (JOBS, "GetModelJob", job_service_pb2.GetModelJobRequest(name="a"), Resource("ModelJob", "default", "a")),
        (JOBS, "ListModelJobs", job_service_pb2.ListModelJobsRequest(), Resource("ModelJob")),
        (JOBS, "ListModelJobs", job_service_pb2.ListModelJobsRequest(namespace="-"), Resource("ModelJob")),
        (JOBS, "ListModelJobs", job_service_pb2.ListModelJobsRequest(namespace="n"), Resource("ModelJob", "n")),
        (
            SERVINGS,
            "CreateServing",
            serving_service_pb2.CreateServingRequest(serving=Serving(metadata=ObjectMeta(namespace="n", name="a"))),
            Resource("Serving", "n"),
        ),
        (
            SERVINGS,
            "StreamLogs",
            serving_service_pb2.ServingServiceStreamLogsRequest(namespace="n", name="a"),
            Resource("Serving", "n", "a", "logs"),
        ),
        (
            MODELS,
            "GetModelVersion",
            model_service_pb2.GetModelVersionRequest(project="p", model="m", version="v"),
            Resource("ModelVersion", "p", "m"),
        ),
        (SERVER, "GetServerInfo", server_service_pb2.GetServerInfoRequest(), Resource("ServerInfo")),
        (
            MODELS,
            "DeleteModel",
            model_service_pb2.DeleteModelRequest(project="p", model="m"),
            Resource("Model", "p", "m"),
        ),
        (MODELS, "GetProject", model_service_pb2.GetProjectRequest(name="p"), Resource("Project", "", "p")),
        (MODELS, "ListProjects", model_service_pb2.ListProjectsRequest(), Resource("Project")),
        (MODELS, "CreateProject", model_service_pb2.CreateProjectRequest(), Resource("Project")),
    ],
)
def test_a_request_addresses_an_object(service: Any, method: str, request_: Any, resource: Resource) -> None:
    assert parse(service.methods_by_name[method]).resource(request_) == resource
