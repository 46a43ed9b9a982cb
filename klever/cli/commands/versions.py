"""Calls for projects, models and their versions, and their output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from klever.api.codec import to_object
from klever.cli.commands.client import Api
from klever.errors import InvalidError
from klever.v1alpha1 import model_service_pb2 as pb

BASIC: Final = pb.ModelVersion.BASIC
FULL: Final = pb.ModelVersion.FULL

__all__ = [
    "BASIC",
    "FULL",
    "delete_model",
    "delete_project",
    "delete_version",
    "get_model",
    "get_project",
    "get_version",
    "is_version",
    "list_models",
    "list_projects",
    "list_versions",
    "model_object",
    "model_parts",
    "version_object",
    "watch_models",
]


def model_parts(name: str) -> tuple[str, str, str]:
    """Split `project/model[:tag|@digest]`. Raises `InvalidError`."""
    project, slash, rest = name.partition("/")
    if not slash:
        raise InvalidError(f"invalid model {name!r}: expected PROJECT/MODEL")
    separator = "@" if "@" in rest else ":"
    model, _, version = rest.partition(separator)
    return project, model, version


def is_version(name: str) -> bool:
    """Whether the name names a version, not a model or nothing."""
    return bool(name) and bool(model_parts(name)[2])


def list_projects(api: Api, _project: str, name: str, _labels: str) -> Iterator[Any]:
    if name:
        yield get_project(api, "", name)
        return
    yield from _pages(api, api.models.ListProjects, pb.ListProjectsRequest)


def list_models(api: Api, project: str, name: str, _labels: str, view: int = BASIC) -> Iterator[Any]:
    """Yield the model `name`, or the models of the project `name`."""
    if "/" in name:
        yield get_model(api, "", name)
        return
    yield from _pages(api, api.models.ListModels, pb.ListModelsRequest, project=name or project, view=view)


def watch_models(api: Api, project: str, name: str, _labels: str) -> Iterator[Any]:
    """Yield the changes of the model `name`, or of the models of the project `name`."""
    named, model, _ = model_parts(name) if "/" in name else (name or project, "", "")
    chosen = f"name = {json.dumps(model)}" if model else ""
    return api.stream(api.models.WatchModels, pb.WatchModelsRequest(project=named, filter=chosen))


def list_versions(api: Api, project: str, name: str, _labels: str, view: int = BASIC) -> Iterator[Any]:
    """Yield the version `name`, or the versions of the model `name`."""
    if not name:
        for model in list_models(api, project, "", ""):
            yield from list_versions(api, "", f"{model.project}/{model.name}", "", view)
        return
    if is_version(name):
        yield get_version(api, "", name)
        return
    project, model, _ = model_parts(name)
    request = pb.ListModelVersionsRequest
    yield from _pages(api, api.models.ListModelVersions, request, project=project, model=model, view=view)


def get_project(api: Api, _project: str, name: str) -> Any:
    return api.call(api.models.GetProject, pb.GetProjectRequest(name=name))


def get_model(api: Api, _project: str, name: str) -> Any:
    project, model, _ = model_parts(name)
    return api.call(api.models.GetModel, pb.GetModelRequest(project=project, model=model))


def get_version(api: Api, _project: str, name: str) -> Any:
    project, model, version = _version_parts(name)
    request = pb.GetModelVersionRequest(project=project, model=model, version=version)
    return api.call(api.models.GetModelVersion, request)


def delete_version(api: Api, name: str, force: bool = False) -> None:
    project, model, version = _version_parts(name)
    request = pb.DeleteModelVersionRequest(project=project, model=model, version=version, force=force)
    api.call(api.models.DeleteModelVersion, request)


def delete_model(api: Api, name: str, force: bool = False) -> None:
    project, model, version = model_parts(name)
    if version:
        raise InvalidError(f"{name!r} names a version: use `klever delete version`")
    api.call(api.models.DeleteModel, pb.DeleteModelRequest(project=project, model=model, force=force))


def delete_project(api: Api, name: str, force: bool = False) -> None:
    if force:
        raise InvalidError("a project must be empty: --force does not delete what is in it")
    api.call(api.models.DeleteProject, pb.DeleteProjectRequest(name=name))


def model_object(model: Any) -> dict[str, Any]:
    obj = to_object(model)
    if "latest" in obj:
        obj["latest"] = version_object(model.latest)
    return obj


def version_object(version: Any) -> dict[str, Any]:
    """Return a version for output. A tensor without `shape` has an unknown rank; `[]` is a scalar."""
    obj = to_object(version)
    signature = obj.get("signature", {})
    for side in ("inputs", "outputs"):
        if side in signature:
            signature[side] = [_tensor(tensor) for tensor in signature[side]]
    return obj


def _tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    shape = {"shape": tensor["shape"].get("dims", [])} if "shape" in tensor else {}
    others = {name: value for name, value in tensor.items() if name not in ("name", "shape")}
    return {"name": tensor.get("name", ""), **shape, **others}


def _version_parts(name: str) -> tuple[str, str, str]:
    project, model, version = model_parts(name)
    if not version:
        raise InvalidError(f"invalid version {name!r}: expected PROJECT/MODEL:TAG")
    return project, model, version


def _pages(api: Api, method: Any, request: Any, **fields: Any) -> Iterator[Any]:
    token = ""
    while True:
        page = api.call(method, request(page_token=token, **fields))
        yield from page.items
        token = page.next_page_token
        if not token:
            return
