"""Projects: namespaces with models, jobs and Servings."""

from __future__ import annotations

from klever.api.filters import parse_filter, parse_order
from klever.api.kinds import MODEL_JOB, NAMESPACE, SERVING, Object
from klever.catalog.catalogue import Catalogue
from klever.controllers.inspections import ALLOW_CODE, code_is_allowed
from klever.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError
from klever.server.ordering import sorted_page
from klever.server.request_ids import identify, is_made_by
from klever.server.requests import DEFAULT_NAMESPACE, page_size, required, violation
from klever.server.versions import timestamp
from klever.store import Key, Store
from klever.v1alpha1 import model_service_pb2 as pb

__all__ = ["ProjectHandlers"]


class ProjectHandlers:
    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    async def create_project(self, request: pb.CreateProjectRequest) -> pb.Project:
        name = required("project.name", request.project.name)
        labels = {ALLOW_CODE: "true"} if request.project.allow_code else {}
        obj: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        if request.request_id:
            identify(obj, request.request_id)
        try:
            return _project(await self._store.create(NAMESPACE, obj, dry_run=request.validate_only), 0)
        except AlreadyExistsError as error:
            earlier = await self._store.get(NAMESPACE, Key("", name))
            if request.request_id and is_made_by(earlier, request.request_id):
                return await self._counted(earlier)
            raise AlreadyExistsError(f"project {name} already exists") from error

    async def list_projects(self, request: pb.ListProjectsRequest) -> pb.ListProjectsResponse:
        filter_ = parse_filter(request.filter, pb.Project.DESCRIPTOR, "name")
        order = parse_order(request.order_by, pb.Project.DESCRIPTOR, "name")
        counts = await self._catalogue.projects()
        found = [_project(o, counts.get(o["metadata"]["name"], 0)) for o in (await self._store.list(NAMESPACE)).items]
        items, token = sorted_page(
            [project for project in found if filter_.matches(project)],
            order,
            lambda project: [*order.values_of_message(project), project.name],
            size=page_size(request.page_size),
            token=request.page_token,
        )
        return pb.ListProjectsResponse(items=items, next_page_token=token)

    async def get_project(self, request: pb.GetProjectRequest) -> pb.Project:
        try:
            obj = await self._store.get(NAMESPACE, Key("", required("name", request.name)))
        except NotFoundError as error:
            raise _no_project(request.name) from error
        return await self._counted(obj)

    async def update_project(self, request: pb.UpdateProjectRequest) -> pb.Project:
        name = required("name", request.name)
        if request.project.name not in ("", name):
            raise violation("project.name", f"must be {name}, as in the request")
        if list(request.update_mask.paths) != ["allow_code"]:
            raise violation("update_mask", "must be allow_code")
        labels = {ALLOW_CODE: "true" if request.project.allow_code else None}
        try:
            patch = {"metadata": {"labels": labels}}
            obj = await self._store.patch(NAMESPACE, Key("", name), patch, dry_run=request.validate_only)
        except NotFoundError as error:
            raise _no_project(name) from error
        return await self._counted(obj)

    async def delete_project(self, request: pb.DeleteProjectRequest) -> pb.Project:
        project = await self.get_project(pb.GetProjectRequest(name=request.name))
        if project.name == DEFAULT_NAMESPACE:
            raise FailedPreconditionError("the project default cannot be deleted", reason="PROJECT_IN_USE")
        if project.model_count:
            raise _in_use(project.name, f"{project.model_count} models")
        for kind in (SERVING, MODEL_JOB):
            if (await self._store.list(kind, project.name, limit=1)).items:
                raise _in_use(project.name, kind.plural)
        await self._store.delete(NAMESPACE, Key("", project.name), dry_run=request.validate_only)
        return project

    async def _counted(self, obj: Object) -> pb.Project:
        return _project(obj, (await self._catalogue.projects()).get(obj["metadata"]["name"], 0))


def _in_use(name: str, what: str) -> FailedPreconditionError:
    return FailedPreconditionError(f"project {name} has {what}: delete them first", reason="PROJECT_IN_USE")


def _no_project(name: str) -> NotFoundError:
    return NotFoundError(f"project {name} not found", reason="PROJECT_NOT_FOUND")


def _project(obj: Object, models: int) -> pb.Project:
    metadata = obj["metadata"]
    return pb.Project(
        name=metadata["name"],
        create_time=timestamp(metadata["creationTimestamp"]),
        model_count=models,
        allow_code=code_is_allowed(obj),
    )
