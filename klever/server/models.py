"""ModelService."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp

from klever.api.codec import from_object
from klever.api.kinds import NAMESPACE, Object
from klever.api.text import parse_time
from klever.catalog.catalogue import Catalogue, Version
from klever.controllers.inspections import ALLOW_CODE, code_is_allowed, inspection_of, trust_as
from klever.errors import AlreadyExistsError, FieldViolation, InvalidError, NotFoundError
from klever.oci.digest import Digest
from klever.oci.reference import Reference, is_tag
from klever.server.objects import page_size, required
from klever.server.pages import PageSize, parse_token, slice_page
from klever.server.signatures import signature_message
from klever.store import Key, Store
from klever.v1alpha1 import model_service_pb2 as pb
from klever.v1alpha1.inspection_pb2 import ModelInspection

__all__ = ["ModelHandlers"]

_ESCAPED_SLASH = re.compile("%2f", re.IGNORECASE)
_CHUNK = 8
"""Models whose latest versions are read at a time."""
_VIEWS = ("basic", "full")


class ModelHandlers:
    """`seen` is where inspections are read, without a call for each version of a list; by default it is `store`."""

    def __init__(self, store: Store, catalogue: Catalogue, seen: Store | None = None) -> None:
        self._store = store
        self._catalogue = catalogue
        self._seen = seen or store

    async def create_project(self, request: pb.CreateProjectRequest) -> pb.Project:
        name = required("project.name", request.project.name)
        labels = {ALLOW_CODE: "true"} if request.project.allow_code else {}
        obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        try:
            return _project(await self._store.create(NAMESPACE, obj), 0)
        except AlreadyExistsError as error:
            raise AlreadyExistsError(f"project {name} exists already") from error

    async def list_projects(self, request: pb.ListProjectsRequest) -> pb.ListProjectsResponse:
        _check_order(request.order_by, "name")
        found = [o for o in (await self._store.list(NAMESPACE)).items if request.filter in o["metadata"]["name"]]
        page, token = slice_page(found, request.page_size, request.page_token)
        counts = await self._catalogue.projects()
        items = [_project(o, counts.get(o["metadata"]["name"], 0)) for o in page]
        return pb.ListProjectsResponse(items=items, next_page_token=token)

    async def get_project(self, request: pb.GetProjectRequest) -> pb.Project:
        try:
            obj = await self._store.get(NAMESPACE, Key("", required("name", request.name)))
        except NotFoundError as error:
            raise _no_project(request.name) from error
        return _project(obj, (await self._catalogue.projects()).get(request.name, 0))

    async def update_project(self, request: pb.UpdateProjectRequest) -> pb.Project:
        name = required("name", request.name)
        if request.project.name not in ("", name):
            raise InvalidError(violations=(FieldViolation("project.name", f"must be {name}, as in the request"),))
        if list(request.update_mask.paths) != ["allow_code"]:
            raise InvalidError(violations=(FieldViolation("update_mask", "must be allow_code"),))
        labels = {ALLOW_CODE: "true" if request.project.allow_code else None}
        try:
            obj = await self._store.patch(NAMESPACE, Key("", name), {"metadata": {"labels": labels}})
        except NotFoundError as error:
            raise _no_project(name) from error
        return _project(obj, (await self._catalogue.projects()).get(name, 0))

    async def list_models(self, request: pb.ListModelsRequest) -> pb.ListModelsResponse:
        _check_order(request.order_by, "name")
        project = "" if request.project == "-" else request.project
        names = [n for n in await self._catalogue.models(project) if request.filter in n.partition("/")[2]]
        full = _is_full(request.view)
        page, token = slice_page(names, request.page_size, request.page_token)
        size = PageSize(parse_token(request.page_token))
        items = list[pb.Model]()
        for start in range(0, len(page), _CHUNK):
            chunk = page[start : start + _CHUNK]
            for latest, model in await asyncio.gather(*(self._latest(name, full) for name in chunk)):
                if not size.admits(latest, model):
                    return pb.ListModelsResponse(items=items, next_page_token=size.token)
                items += [model] if model else []
        return pb.ListModelsResponse(items=items, next_page_token=token)

    async def get_model(self, request: pb.GetModelRequest) -> pb.Model:
        repository = _repository(request.project, request.model)
        _, model = await self._latest(repository, full=True)
        if model is None:
            raise NotFoundError(f"model {repository} not found", reason="MODEL_NOT_FOUND")
        return model

    async def list_model_versions(self, request: pb.ListModelVersionsRequest) -> pb.ListModelVersionsResponse:
        _check_order(request.order_by, "tag", "created", "created desc")
        repository, full = _repository(request.project, request.model), _is_full(request.view)
        if request.order_by.startswith("created"):
            found = await self._catalogue.versions_by_time(repository, containing=request.filter)
            ordered = found[::-1] if request.order_by.endswith("desc") else found
            page, token = slice_page(list[Version | None](ordered), request.page_size, request.page_token)
        else:
            start, most = parse_token(request.page_token), page_size(request.page_size)
            page, more = await self._catalogue.versions(repository, containing=request.filter, offset=start, limit=most)
            token = str(start + len(page)) if more else ""
        size = PageSize(parse_token(request.page_token))
        items = list[pb.ModelVersion]()
        for version in page:
            message = await self._listed(version, full) if version else None
            if not size.admits(version, message):
                return pb.ListModelVersionsResponse(items=items, next_page_token=size.token)
            items += [message] if message else []
            await asyncio.sleep(0)  # nothing above waits: others get their turn
        return pb.ListModelVersionsResponse(items=items, next_page_token=token)

    async def get_model_version(self, request: pb.GetModelVersionRequest) -> pb.ModelVersion:
        return await self._message(await self._resolve(request.project, request.model, request.version))

    async def tag_model_version(self, request: pb.TagModelVersionRequest) -> pb.ModelVersion:
        if not is_tag(request.tag):
            raise InvalidError(violations=(FieldViolation("tag", f"{request.tag!r} is not a tag"),))
        version = await self._resolve(request.project, request.model, request.version)
        expected = Digest.parse(request.expected_digest) if request.expected_digest else None
        await self._catalogue.tag(version, request.tag, expected)
        return await self._message(await self._resolve(request.project, request.model, request.tag))

    async def delete_model_version(self, request: pb.DeleteModelVersionRequest) -> Empty:
        version = await self._resolve(request.project, request.model, request.version)
        await self._catalogue.delete(version.reference, force=request.force)
        return Empty()

    async def _resolve(self, project: str, model: str, version: str) -> Version:
        repository = _repository(project, model)
        required("version", version)
        separator = "@" if ":" in version else ":"
        return await self._catalogue.resolve(Reference.parse(f"{repository}{separator}{version}"))

    async def _latest(self, repository: str, full: bool) -> tuple[Version | None, pb.Model | None]:
        """Return the latest version and its model; None if no tag of the repository names a model."""
        latest = await self._catalogue.latest(repository)
        if latest is None:
            return None, None
        project, _, name = repository.partition("/")
        count, message = await self._catalogue.count(repository), await self._listed(latest, full)
        return latest, pb.Model(project=project, name=name, version_count=count, latest=message)

    async def _listed(self, summary: Version, full: bool) -> pb.ModelVersion:
        """Return a version of a list. One that was deleted since it was listed stays a summary."""
        if full:
            with suppress(NotFoundError):
                version = await self._catalogue.resolve(summary.pinned)
                return await self._message(replace(version, reference=summary.reference))
        return await self._message(summary)

    async def _message(self, version: Version) -> pb.ModelVersion:
        """Return a version with what the platform itself found in it."""
        message = _version(version)
        inspection = await inspection_of(self._seen, version.content)
        message.trust = trust_as(inspection, version.metadata.format) or ""
        if inspection is not None:
            message.inspection.CopyFrom(from_object(inspection, ModelInspection).spec)
        return message


def _repository(project: str, model: str) -> str:
    """Return the repository's name. In REST's paths a slash of the model's name is escaped: it comes as %2F."""
    return f"{required('project', project)}/{_ESCAPED_SLASH.sub('/', required('model', model))}"


def _check_order(asked: str, *known: str) -> None:
    if asked and asked not in known:
        names = ", ".join(known)
        raise InvalidError(violations=(FieldViolation("order_by", f"{asked!r} is none of: {names}"),))


def _is_full(view: str) -> bool:
    if view not in ("", *_VIEWS):
        raise InvalidError(violations=(FieldViolation("view", f"{view!r} must be one of {', '.join(_VIEWS)}"),))
    return view == "full"


def _no_project(name: str) -> NotFoundError:
    return NotFoundError(f"there is no project {name}", reason="PROJECT_NOT_FOUND")


def _project(obj: Object, models: int) -> pb.Project:
    metadata = obj["metadata"]
    return pb.Project(
        name=metadata["name"],
        create_time=_time(metadata["creationTimestamp"]),
        model_count=models,
        allow_code=code_is_allowed(obj),
    )


def _version(version: Version) -> pb.ModelVersion:
    metadata, reference = version.metadata, version.reference
    return pb.ModelVersion(
        project=reference.project,
        model=reference.model,
        tag=reference.tag,
        digest=str(version.digest),
        content_digest=str(version.content),
        size=version.size,
        create_time=_time(metadata.created),
        author=metadata.author,
        description=metadata.description,
        format=metadata.format,
        framework=metadata.framework,
        labels=dict(metadata.labels),
        tags=list(metadata.tags),
        signature=signature_message(metadata.signature),
        metrics=[pb.NamedValue(name=n, value=v) for n, v in metadata.metrics],
        hyper_parameters=[pb.NamedValue(name=n, value=v) for n, v in metadata.hyper_parameters],
        training=pb.GitSource(repository=metadata.training.repository, revision=metadata.training.revision),
        dataset=pb.GitSource(repository=metadata.dataset.repository, revision=metadata.dataset.revision),
        dialect=version.dialect,
        reference=str(reference),
        input_count=version.tensors[0] if version.tensors else None,
        output_count=version.tensors[1] if version.tensors else None,
    )


def _time(text: str) -> Timestamp | None:
    """Return a time of the metadata; None for the original tool's "never" and for what is no time."""
    try:
        time = parse_time(text)
    except ValueError:
        return None
    if time < datetime(1970, 1, 1, tzinfo=UTC):
        return None
    result = Timestamp()
    result.FromDatetime(time)
    return result
