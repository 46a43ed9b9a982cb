"""Projects, models and their versions."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from klever.client.sync.connection import Connection
from klever.client.channel import SERVICES
from klever.client.references import model_parts, version_parts
from klever.client.stored import to_request
from klever.errors import InvalidError
from klever.v1alpha1.common_pb2 import WatchEvent
from klever.v1alpha1.model_service_pb2 import Model, ModelVersion, Project, WatchModelsResponse

__all__ = ["Models", "Projects", "Versions"]


class _Catalogue:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _call(self, rpc: str, **fields: Any) -> Any:
        method = SERVICES["ModelService"].methods_by_name[rpc]
        return self._connection.call(method, to_request(method, fields))

    def _pages(self, rpc: str, **fields: Any) -> Generator[Any, None, None]:
        token = ""
        while True:
            page = self._call(rpc, page_token=token, **fields)
            for item in page.items:
                yield item
            token = page.next_page_token
            if not token:
                return


class Projects(_Catalogue):
    """The projects. A project is the namespace of models, jobs and Servings."""

    def get(self, name: str) -> Project:
        """Return one project. Raises `NotFoundError`."""
        project: Project = self._call("GetProject", name=name)
        return project

    def list(self, *, filter: str = "", order_by: str = "") -> Generator[Project, None, None]:
        """Yield the projects of all pages, by name."""
        for project in self._pages("ListProjects", filter=filter, order_by=order_by):
            yield project

    def create(self, name: str, *, allow_code: bool = False, request_id: str = "") -> Project:
        """Create a project and return it. Raises `AlreadyExistsError`."""
        project = Project(name=name, allow_code=allow_code)
        created: Project = self._call(
            "CreateProject", project=project, request_id=request_id or str(uuid.uuid4())
        )
        return created

    def allow_code(self, name: str, allowed: bool = True) -> Project:
        """Allow or forbid the Servings of a project to run code, and return the project."""
        fields = {"project": Project(allow_code=allowed), "update_mask": FieldMask(paths=["allow_code"])}
        project: Project = self._call("UpdateProject", name=name, **fields)
        return project

    def delete(self, name: str) -> Project:
        """Delete a project and return its last state. Raise `FailedPreconditionError` if it is not empty."""
        project: Project = self._call("DeleteProject", name=name)
        return project


class Models(_Catalogue):
    """The models. The name of a model is `project/model`."""

    def get(self, name: str) -> Model:
        """Return one model with its latest version. Raises `NotFoundError`."""
        project, model, _ = model_parts(name)
        found: Model = self._call("GetModel", project=project, model=model)
        return found

    def list(
        self, project: str = "", *, filter: str = "", order_by: str = "", full: bool = False
    ) -> Generator[Model, None, None]:
        """Yield the models of a project, or of all. `full`: with all that is known of the latest version."""
        fields = {"project": project, "filter": filter, "order_by": order_by, "view": _view(full)}
        for model in self._pages("ListModels", **fields):
            yield model

    def watch(self, project: str = "", *, filter: str = "") -> Generator[WatchModelsResponse, None, None]:
        """Yield the models that exist as ADDED, then their changes, until the caller stops."""
        method = SERVICES["ModelService"].methods_by_name["WatchModels"]
        for event in self._connection.stream(method, to_request(method, {"project": project, "filter": filter})):
            if event.type != WatchEvent.BOOKMARK:
                yield event

    def delete(self, name: str, *, force: bool = False) -> Model:
        """Delete a model with all its versions. `force`: although Servings use it.

        Raises `FailedPreconditionError` with the Servings that use a version.
        """
        project, model, version = model_parts(name)
        if version:
            raise InvalidError(f"{name!r} names a version: use `klever delete version`")
        deleted: Model = self._call("DeleteModel", project=project, model=model, force=force)
        return deleted


class Versions(_Catalogue):
    """The versions of models. The name of a version is `project/model:tag` or `project/model@digest`."""

    def get(self, name: str) -> ModelVersion:
        """Return one version with its signature. Raises `NotFoundError`."""
        project, model, version = version_parts(name)
        found: ModelVersion = self._call("GetModelVersion", project=project, model=model, version=version)
        return found

    def list(
        self, model: str, *, filter: str = "", order_by: str = "", full: bool = False
    ) -> Generator[ModelVersion, None, None]:
        """Yield the versions of a model. `full`: with signature, metrics and hyperparameters."""
        project, name, _ = model_parts(model)
        fields = {"project": project, "model": name, "filter": filter, "order_by": order_by, "view": _view(full)}
        for version in self._pages("ListModelVersions", **fields):
            yield version

    def tag(self, name: str, tag: str, *, expected_digest: str = "") -> ModelVersion:
        """Give a version another tag. Raises `ConflictError` if the tag names another digest than the expected one."""
        project, model, version = version_parts(name)
        fields = {"project": project, "model": model, "version": version, "tag": tag}
        tagged: ModelVersion = self._call("TagModelVersion", **fields, expected_digest=expected_digest)
        return tagged

    def delete(self, name: str, *, force: bool = False) -> ModelVersion:
        """Remove a tag, or by a digest the version with all its tags. `force`: although Servings use it.

        Raises `FailedPreconditionError` with the Servings that use it.
        """
        project, model, version = version_parts(name)
        fields = {"project": project, "model": model, "version": version, "force": force}
        deleted: ModelVersion = self._call("DeleteModelVersion", **fields)
        return deleted


def _view(full: bool) -> int:
    return ModelVersion.FULL if full else ModelVersion.BASIC
