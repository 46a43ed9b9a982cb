"""Models and their versions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from klever.api.filters import Filter, Order, parse_filter, parse_order
from klever.catalog.catalogue import Catalogue, Version
from klever.controllers.inspections import find_inspection
from klever.errors import InvalidError, NotFoundError
from klever.limits import DEFAULTS, Limits
from klever.oci.digest import Digest
from klever.oci.reference import Reference, is_tag
from klever.server.calls import CALLER
from klever.server.conversions import add_conversions
from klever.server.load import Turns
from klever.server.model_watches import watch_models
from klever.server.pages import PageSize, parse_token
from klever.server.projects import ProjectHandlers
from klever.server.requests import page_size, required, violation
from klever.server.versions import version_message
from klever.store import Store
from klever.v1alpha1 import model_service_pb2 as pb

__all__ = ["ModelHandlers"]

_ESCAPED_SLASH: Final = re.compile("%2f", re.IGNORECASE)
_CHUNK: Final = 8
"""The number of models whose latest versions are read at once."""
_LONG: Final = ("signature", "metrics", "hyper_parameters")
"""The fields that the view BASIC leaves out."""


class ModelHandlers(ProjectHandlers):
    """`seen` is the store for reading inspections, such as a cache of `store`. The default is `store`."""

    def __init__(
        self, store: Store, catalogue: Catalogue, seen: Store | None = None, limits: Limits = DEFAULTS
    ) -> None:
        super().__init__(store, catalogue)
        self._seen = seen or store
        self._turns = Turns(limits)

    async def list_models(self, request: pb.ListModelsRequest) -> pb.ListModelsResponse:
        order = _order(request.order_by, pb.Model.DESCRIPTOR, "name")
        filter_ = parse_filter(request.filter, pb.Model.DESCRIPTOR, "name")
        names = await self._catalogue.models("" if request.project == "-" else request.project)
        if filter_.words:
            names = [name for name in names if filter_.words in name.partition("/")[2]]
        if order.fields[0].descending:
            names.reverse()
        shown, most = Shown(request.view, filter_), page_size(request.page_size)
        size = PageSize(parse_token(request.page_token))
        items = list[pb.Model]()
        step = min(_CHUNK, most)
        for start in range(parse_token(request.page_token), len(names), step):
            chunk = names[start : start + step]
            for latest, model in await asyncio.gather(*(self._latest(name, shown.reads_all) for name in chunk)):
                kept = model if model is not None and filter_.matches(model) else None
                if kept is not None:
                    shown.cut(kept.latest)
                if len(items) == most or not size.admits(latest, kept):
                    return pb.ListModelsResponse(items=items, next_page_token=size.token)
                items += [kept] if kept is not None else []
        return pb.ListModelsResponse(items=items)

    async def get_model(self, request: pb.GetModelRequest) -> pb.Model:
        repository = _repository(request.project, request.model)
        _, model = await self._latest(repository, full=True)
        if model is None:
            raise NotFoundError(f"model {repository} not found", reason="MODEL_NOT_FOUND")
        return model

    async def list_model_versions(self, request: pb.ListModelVersionsRequest) -> pb.ListModelVersionsResponse:
        order = _order(request.order_by, pb.ModelVersion.DESCRIPTOR, "tag", "create_time")
        filter_ = parse_filter(request.filter, pb.ModelVersion.DESCRIPTOR, "tag")
        shown, start = Shown(request.view, filter_), parse_token(request.page_token)
        repository, most = _repository(request.project, request.model), page_size(request.page_size)
        while True:  # a page without a match is not the last one
            page, more = await self._versions(repository, order, filter_, start, most)
            size = PageSize(start)
            items = list[pb.ModelVersion]()
            for version in page:
                message = await self._listed(version, full=shown.reads_all) if version else None
                kept = message if message is not None and filter_.matches(message) else None
                if kept is not None:
                    shown.cut(kept)
                if not size.admits(version, kept):
                    return pb.ListModelVersionsResponse(items=items, next_page_token=size.token)
                items += [kept] if kept is not None else []
                await asyncio.sleep(0)  # the lines above never wait, so give other tasks a turn
            start += len(page)
            if items or not more:
                return pb.ListModelVersionsResponse(items=items, next_page_token=str(start) if more else "")

    async def _versions(
        self, repository: str, order: Order, filter_: Filter, start: int, most: int
    ) -> tuple[list[Version | None], bool]:
        """Return at most `most` versions from `start` on, in order, and whether more follow."""
        words = filter_.words or ""
        (field,) = order.fields
        if order.text == "tag":
            return await self._catalogue.versions(repository, containing=words, offset=start, limit=most)
        found = await self._catalogue.versions_by_time(repository, containing=words)
        if field.names == ("tag",):
            found = sorted(found, key=lambda version: version.reference.tag)
        ordered = found[::-1] if field.descending else found
        return list(ordered[start : start + most]), start + most < len(ordered)

    async def get_model_version(self, request: pb.GetModelVersionRequest) -> pb.ModelVersion:
        version = await self._resolve(request.project, request.model, request.version)
        message = await self._message(version)
        await add_conversions(self._catalogue, version, message)
        return message

    async def tag_model_version(self, request: pb.TagModelVersionRequest) -> pb.ModelVersion:
        if not is_tag(request.tag):
            raise violation("tag", f"invalid tag {request.tag!r}")
        version = await self._resolve(request.project, request.model, request.version)
        expected = _digest("expected_digest", request.expected_digest)
        if request.validate_only:
            return await self._message(replace(version, reference=replace(version.reference, tag=request.tag)))
        await self._catalogue.tag(version, request.tag, expected)
        return await self._message(await self._resolve(request.project, request.model, request.tag))

    async def delete_model_version(self, request: pb.DeleteModelVersionRequest) -> pb.ModelVersion:
        version = await self._resolve(request.project, request.model, request.version)
        last = await self._message(version)
        if not request.validate_only:
            await self._catalogue.delete(version.reference, force=request.force)
        elif not request.force:
            await self._catalogue.check_unused(version.reference)
        return last

    async def delete_model(self, request: pb.DeleteModelRequest) -> pb.Model:
        last = await self.get_model(pb.GetModelRequest(project=request.project, model=request.model))
        if not request.force:
            await self._check_unused(request)
        if request.validate_only:
            return last
        with suppress(NotFoundError):  # until no page is left
            unreadable = 0
            while page := (await self._page(request, unreadable))[0]:
                references = [version.reference for version in page if version is not None]
                unreadable += len(page) - len(references)
                for reference in references:
                    await self._catalogue.delete(reference, force=request.force)
        return last

    async def _check_unused(self, request: pb.DeleteModelRequest) -> None:
        """Refuse a model with a version in use before any version is deleted."""
        seen = 0
        while page := (await self._page(request, seen))[0]:
            for version in page:
                if version is not None:
                    await self._catalogue.check_unused(version.reference)
            seen += len(page)

    async def _page(self, request: pb.DeleteModelRequest, offset: int) -> tuple[list[Version | None], bool]:
        repository = _repository(request.project, request.model)
        return await self._catalogue.versions(repository, offset=offset, limit=_CHUNK)

    def watch_models(self, request: pb.WatchModelsRequest) -> AsyncGenerator[pb.WatchModelsResponse, None]:
        shown = Shown(request.view, filter_ := parse_filter(request.filter, pb.Model.DESCRIPTOR, "name"))
        project = "" if request.project == "-" else request.project

        async def read(repository: str) -> pb.Model | None:
            _, model = await self._latest(repository, shown.reads_all)
            if model is None or not filter_.matches(model):
                return None
            shown.cut(model.latest)
            return model

        return watch_models(self._catalogue, project, read, lambda: self._turns.turn(CALLER.get()))

    async def _resolve(self, project: str, model: str, version: str) -> Version:
        repository = _repository(project, model)
        required("version", version)
        separator = "@" if ":" in version else ":"
        reference = Reference.parse(f"{repository}{separator}{version}")
        if reference.host:  # a caller must not make the server contact another host
            raise violation("project", f"invalid project name {project!r}")
        return await self._catalogue.resolve(reference)

    async def _latest(self, repository: str, full: bool) -> tuple[Version | None, pb.Model | None]:
        """Return the latest version and its model. None if no tag of the repository names a model."""
        latest = await self._catalogue.latest(repository)
        if latest is None:
            return None, None
        project, _, name = repository.partition("/")
        count, message = await self._catalogue.count(repository), await self._listed(latest, full)
        return latest, pb.Model(project=project, name=name, version_count=count, latest=message)

    async def _listed(self, summary: Version, full: bool) -> pb.ModelVersion:
        """Return a version of a list in full. A version that was deleted meanwhile stays a summary."""
        if full:
            with suppress(NotFoundError):
                version = await self._catalogue.resolve(summary.pinned)
                return await self._message(replace(version, reference=summary.reference))
        return await self._message(summary)

    async def _message(self, version: Version) -> pb.ModelVersion:
        return version_message(version, await find_inspection(self._seen, version.content))


class Shown:
    """The view of a list of versions, and whether the filter needs fields that the view leaves out."""

    def __init__(self, view: int, filter_: Filter) -> None:
        if view not in pb.ModelVersion.View.values():
            names = ", ".join(pb.ModelVersion.View.keys()[1:])
            raise violation("view", f"{view} must be one of {names}")
        self._full = view == pb.ModelVersion.FULL
        self.reads_all = self._full or filter_.names(_LONG)

    def cut(self, message: pb.ModelVersion) -> None:
        """Remove the fields that only the filter needed."""
        if self.reads_all and not self._full:
            for name in _LONG:
                message.ClearField(name)


def _repository(project: str, model: str) -> str:
    """Return the name of the repository. In a REST path, a slash in the name of a model arrives escaped, as %2F."""
    return f"{required('project', project)}/{_ESCAPED_SLASH.sub('/', required('model', model))}"


def _digest(field: str, text: str) -> Digest | None:
    try:
        return Digest.parse(text) if text else None
    except InvalidError as error:
        raise violation(field, f"invalid digest {text!r}: expected sha256: and 64 hexadecimal digits") from error


def _order(text: str, message: object, *known: str) -> Order:
    order = parse_order(text, message, known[0])
    if [".".join(field.names) for field in order.fields] not in [[name] for name in known]:
        raise violation(
            "order_by", f"invalid order {text!r}: must be one of {', '.join(known)}, optionally followed by desc"
        )
    return order
