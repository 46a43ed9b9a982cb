"""Calls for projects, models and their versions, and their output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from klever.api.codec import to_object
from klever.cli.commands.client import Api
from klever.client.references import model_parts
from klever.errors import InvalidError

__all__ = [
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
    "version_object",
    "watch_models",
]


def is_version(name: str) -> bool:
    """Whether the name names a version, not a model or nothing."""
    return bool(name) and bool(model_parts(name)[2])


def list_projects(api: Api, _project: str, name: str, _labels: str) -> Iterator[Any]:
    yield from [api.projects.get(name)] if name else api.projects.list()


def list_models(api: Api, project: str, name: str, _labels: str, full: bool = False) -> Iterator[Any]:
    """Yield the model `name`, or the models of the project `name`."""
    yield from [api.models.get(name)] if "/" in name else api.models.list(name or project, full=full)


def watch_models(api: Api, project: str, name: str, _labels: str) -> Iterator[Any]:
    """Yield the changes of the model `name`, or of the models of the project `name`."""
    named, model, _ = model_parts(name) if "/" in name else (name or project, "", "")
    return api.models.watch(named, filter=f"name = {json.dumps(model)}" if model else "")


def list_versions(api: Api, project: str, name: str, _labels: str, full: bool = False) -> Iterator[Any]:
    """Yield the version `name`, or the versions of the model `name`."""
    if not name:
        for model in api.models.list(project):
            yield from api.versions.list(f"{model.project}/{model.name}", full=full)
    elif is_version(name):
        yield api.versions.get(name)
    else:
        yield from api.versions.list(name, full=full)


def get_project(api: Api, _project: str, name: str) -> Any:
    return api.projects.get(name)


def get_model(api: Api, _project: str, name: str) -> Any:
    return api.models.get(name)


def get_version(api: Api, _project: str, name: str) -> Any:
    return api.versions.get(name)


def delete_version(api: Api, name: str, force: bool = False) -> None:
    api.versions.delete(name, force=force)


def delete_model(api: Api, name: str, force: bool = False) -> None:
    api.models.delete(name, force=force)


def delete_project(api: Api, name: str, force: bool = False) -> None:
    if force:
        raise InvalidError("a project must be empty: --force does not delete what is in it")
    api.projects.delete(name)


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
