"""Projects, models and their versions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from klever.client.aio.connection import AsyncConnection
from klever.client.channel import SERVICES
from klever.client.references import model_parts, version_parts
from klever.client.stored import to_request
from klever.errors import InvalidError
from klever.v1alpha1.common_pb2 import WatchEvent
from klever.v1alpha1.model_service_pb2 import Model, ModelVersion, Project, WatchModelsResponse

__all__ = ["AsyncModels", "AsyncProjects", "AsyncVersions"]


class _AsyncCatalogue:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _call(self, rpc: str, **fields: Any) -> Any:
        method = SERVICES["ModelService"].methods_by_name[rpc]
        return await self._connection.call(method, to_request(method, fields))

    async def _pages(self, rpc: str, **fields: Any) -> AsyncGenerator[Any, None]:
        token = ""
        while True:
            page = await self._call(rpc, page_token=token, **fields)
            for item in page.items:
                yield item
            token = page.next_page_token
            if not token:
                return


class AsyncProjects(_AsyncCatalogue):
    """The projects. A project is the namespace of models, jobs and Servings."""

    async def get(self, name: str) -> Project:
        """Return one project. Raises `NotFoundError`."""
        project: Project = await self._call("GetProject", name=name)
        return project

    async def list(self, *, filter: str = "", order_by: str = "") -> AsyncGenerator[Project, None]:
        """Yield the projects of all pages, by name."""
        async for project in self._pages("ListProjects", filter=filter, order_by=order_by):
            yield project

    async def create(self, name: str, *, allow_code: bool = False, request_id: str = "") -> Project:
        """Create a project and return it. Raises `AlreadyExistsError`."""
        project = Project(name=name, allow_code=allow_code)
        created: Project = await self._call(
            "CreateProject", project=project, request_id=request_id or str(uuid.uuid4())
        )
        return created

    async def allow_code(self, name: str, allowed: bool = True) -> Project:
        """Allow or forbid the Servings of a project to run code, and return the project."""
        fields = {"project": Project(allow_code=allowed), "update_mask": FieldMask(paths=["allow_code"])}
        project: Project = await self._call("UpdateProject", name=name, **fields)
        return project

    async def delete(self, name: str) -> Project:
        """Delete a project and return its last state. Raise `FailedPreconditionError` if it is not empty."""
        project: Project = await self._call("DeleteProject", name=name)
        return project


class AsyncModels(_AsyncCatalogue):
    """The models. The name of a model is `project/model`."""

    async def get(self, name: str) -> Model:
        """Return one model with its latest version. Raises `NotFoundError`."""
        project, model, _ = model_parts(name)
        found: Model = await self._call("GetModel", project=project, model=model)
        return found

    async def list(
        self, project: str = "", *, filter: str = "", order_by: str = "", full: bool = False
    ) -> AsyncGenerator[Model, None]:
        """Yield the models of a project, or of all. `full`: with all that is known of the latest version."""
        fields = {"project": project, "filter": filter, "order_by": order_by, "view": _view(full)}
        async for model in self._pages("ListModels", **fields):
            yield model

    async def watch(self, project: str = "", *, filter: str = "") -> AsyncGenerator[WatchModelsResponse, None]:
        """Yield the models that exist as ADDED, then their changes, until the caller stops."""
        method = SERVICES["ModelService"].methods_by_name["WatchModels"]
        async for event in self._connection.stream(method, to_request(method, {"project": project, "filter": filter})):
            if event.type != WatchEvent.BOOKMARK:
                yield event

    async def delete(self, name: str, *, force: bool = False) -> Model:
        """Delete a model with all its versions. `force`: although Servings use it.

        Raises `FailedPreconditionError` with the Servings that use a version.
        """
        project, model, version = model_parts(name)
        if version:
            raise InvalidError(f"{name!r} names a version: use `klever delete version`")
        deleted: Model = await self._call("DeleteModel", project=project, model=model, force=force)
        return deleted


class AsyncVersions(_AsyncCatalogue):
    """The versions of models. The name of a version is `project/model:tag` or `project/model@digest`."""

    async def get(self, name: str) -> ModelVersion:
        """Return one version with its signature. Raises `NotFoundError`."""
        project, model, version = version_parts(name)
        found: ModelVersion = await self._call("GetModelVersion", project=project, model=model, version=version)
        return found

    async def list(
        self, model: str, *, filter: str = "", order_by: str = "", full: bool = False
    ) -> AsyncGenerator[ModelVersion, None]:
        """Yield the versions of a model. `full`: with signature, metrics and hyperparameters."""
        project, name, _ = model_parts(model)
        fields = {"project": project, "model": name, "filter": filter, "order_by": order_by, "view": _view(full)}
        async for version in self._pages("ListModelVersions", **fields):
            yield version

    async def tag(self, name: str, tag: str, *, expected_digest: str = "") -> ModelVersion:
        """Give a version another tag. Raises `ConflictError` if the tag names another digest than the expected one."""
        project, model, version = version_parts(name)
        fields = {"project": project, "model": model, "version": version, "tag": tag}
        tagged: ModelVersion = await self._call("TagModelVersion", **fields, expected_digest=expected_digest)
        return tagged

    async def delete(self, name: str, *, force: bool = False) -> ModelVersion:
        """Remove a tag, or by a digest the version with all its tags. `force`: although Servings use it.

        Raises `FailedPreconditionError` with the Servings that use it.
        """
        project, model, version = version_parts(name)
        fields = {"project": project, "model": model, "version": version, "force": force}
        deleted: ModelVersion = await self._call("DeleteModelVersion", **fields)
        return deleted


def _view(full: bool) -> int:
    return ModelVersion.FULL if full else ModelVersion.BASIC
