"""The kinds that verbs speak of: names, columns and calls. A kind is a row of `RESOURCES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format

from klever.api.codec import to_object
from klever.cli.klever.client import Api
from klever.cli.klever.output import age
from klever.errors import InvalidError
from klever.v1alpha1 import job_service_pb2, model_service_pb2, serving_service_pb2
from klever.v1alpha1.common_pb2 import ListOptions, WatchOptions

__all__ = ["RESOURCES", "Resource", "find", "model_parts"]

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind: `list` yields messages (of one name where given), `row` what a table shows of one.

    `list` is told the namespace; where `namespaced` is false, only one that was asked for by name.
    """

    names: tuple[str, ...]
    header: tuple[str, ...]
    list: Callable[[Api, str, str, str], Iterator[Any]]
    row: Callable[[Any], Row]
    to_json: Callable[[Any], dict[str, Any]]
    watch: Callable[..., Iterator[Any]] | None = None
    delete: Callable[[Api, str], None] | None = None
    namespaced: bool = True


def find(kind: str) -> Resource:
    """Return the resource of a name such as `serving`, `servings` or `srv`; raises `InvalidError`."""
    for resource in RESOURCES:
        if kind.lower() in resource.names:
            return resource
    known = ", ".join(resource.names[0] for resource in RESOURCES)
    raise InvalidError(f"there is no kind {kind!r}; there are: {known}")


def model_parts(name: str) -> tuple[str, str, str]:
    """Split `project/model[:tag|@digest]`; raises `InvalidError`."""
    project, slash, rest = name.partition("/")
    if not slash:
        raise InvalidError(f"{name!r} is not PROJECT/MODEL")
    separator = "@" if "@" in rest else ":"
    model, _, version = rest.partition(separator)
    return project, model, version


def _jobs(api: Api, namespace: str, name: str, labels: str) -> Iterator[Any]:
    if name:
        yield api.call(api.jobs.GetModelJob, job_service_pb2.GetModelJobRequest(namespace=namespace, name=name))
        return
    yield from _pages(api, api.jobs.ListModelJobs, job_service_pb2.ListModelJobsRequest, namespace, labels)


def _servings(api: Api, namespace: str, name: str, labels: str) -> Iterator[Any]:
    if name:
        yield api.call(api.servings.GetServing, serving_service_pb2.GetServingRequest(namespace=namespace, name=name))
        return
    yield from _pages(api, api.servings.ListServings, serving_service_pb2.ListServingsRequest, namespace, labels)


def _pages(api: Api, method: Any, request: Any, namespace: str, labels: str) -> Iterator[Any]:
    token = ""
    while True:
        page = api.call(method, request(namespace=namespace, options=ListOptions(labels=labels, page_token=token)))
        yield from page.items
        token = page.next_page_token
        if not token:
            return


def _models(api: Api, project: str, name: str, _labels: str) -> Iterator[Any]:
    """`name` is one model's, or a project's."""
    if name and "/" in name:
        project, model, _ = model_parts(name)
        yield api.call(api.models.GetModel, model_service_pb2.GetModelRequest(project=project, model=model))
        return
    yield from _plain_pages(api, api.models.ListModels, model_service_pb2.ListModelsRequest, project=name or project)


def _versions(api: Api, project: str, name: str, _labels: str) -> Iterator[Any]:
    if not name:
        for model in _models(api, project, "", ""):
            yield from _versions(api, "", f"{model.project}/{model.name}", "")
        return
    project, model, version = model_parts(name)
    if version:
        request = model_service_pb2.GetModelVersionRequest(project=project, model=model, version=version)
        yield api.call(api.models.GetModelVersion, request)
        return
    listing = model_service_pb2.ListModelVersionsRequest
    yield from _plain_pages(api, api.models.ListModelVersions, listing, project=project, model=model)


def _projects(api: Api, _project: str, name: str, _labels: str) -> Iterator[Any]:
    if name:
        yield api.call(api.models.GetProject, model_service_pb2.GetProjectRequest(name=name))
        return
    yield from _plain_pages(api, api.models.ListProjects, model_service_pb2.ListProjectsRequest)


def _plain_pages(api: Api, method: Any, request: Any, **fields: str) -> Iterator[Any]:
    token = ""
    while True:
        page = api.call(method, request(page_token=token, **fields))
        yield from page.items
        token = page.next_page_token
        if not token:
            return


def _watch_jobs(api: Api, namespace: str, name: str, labels: str, timeout: float | None = None) -> Iterator[Any]:
    options = WatchOptions(labels=labels, filter=f"metadata.name={name}" if name else "")
    request = job_service_pb2.WatchModelJobsRequest(namespace=namespace, options=options)
    return api.stream(api.jobs.WatchModelJobs, request, timeout)


def _watch_servings(api: Api, namespace: str, name: str, labels: str, timeout: float | None = None) -> Iterator[Any]:
    options = WatchOptions(labels=labels, filter=f"metadata.name={name}" if name else "")
    request = serving_service_pb2.WatchServingsRequest(namespace=namespace, options=options)
    return api.stream(api.servings.WatchServings, request, timeout)


def _delete_job(api: Api, name: str) -> None:
    api.call(api.jobs.DeleteModelJob, job_service_pb2.DeleteModelJobRequest(namespace=api.namespace, name=name))


def _delete_serving(api: Api, name: str) -> None:
    request = serving_service_pb2.DeleteServingRequest(namespace=api.namespace, name=name)
    api.call(api.servings.DeleteServing, request)


def _delete_version(api: Api, name: str) -> None:
    project, model, version = model_parts(name)
    if not version:
        raise InvalidError(f"{name!r} names no version: PROJECT/MODEL:TAG")
    request = model_service_pb2.DeleteModelVersionRequest(project=project, model=model, version=version)
    api.call(api.models.DeleteModelVersion, request)


def _condition(serving: Any, kind: str) -> str:
    return next((c.status for c in serving.status.conditions if c.type == kind), "Unknown")


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def _created(obj: Any) -> str:
    return age(to_object(obj.metadata).get("creationTimestamp", ""))


def _time_of(message: Any) -> str:
    return age(message.create_time.ToJsonString()) if message.HasField("create_time") else ""


def _plain(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message)


RESOURCES: Final = (
    Resource(
        names=("servings", "serving", "srv"),
        header=("NAME", "READY", "PHASE", "REPLICAS", "TRAFFIC", "URL", "AGE"),
        list=_servings,
        row=lambda s: (
            s.metadata.name,
            _condition(s, "Ready"),
            s.status.phase,
            s.status.replicas,
            s.status.traffic,
            s.status.url,
            _created(s),
        ),
        to_json=to_object,
        watch=_watch_servings,
        delete=_delete_serving,
    ),
    Resource(
        names=("modeljobs", "modeljob", "mj"),
        header=("NAME", "PHASE", "MODEL", "MESSAGE", "AGE"),
        list=_jobs,
        row=lambda j: (j.metadata.name, j.status.phase, j.spec.model, j.status.message[:60], _created(j)),
        to_json=to_object,
        watch=_watch_jobs,
        delete=_delete_job,
    ),
    Resource(
        names=("models", "model"),
        header=("NAME", "VERSIONS", "LATEST", "FORMAT", "SIZE", "AGE"),
        list=_models,
        row=lambda m: (
            f"{m.project}/{m.name}",
            m.version_count,
            m.latest.tag,
            m.latest.format,
            _size(m.latest.size),
            _time_of(m.latest),
        ),
        to_json=_plain,
        namespaced=False,
    ),
    Resource(
        names=("versions", "version"),
        header=("REFERENCE", "FORMAT", "SIGNATURE", "SIZE", "DIGEST", "AGE"),
        list=_versions,
        row=lambda v: (
            v.reference,
            v.format,
            f"{len(v.signature.inputs)} in, {len(v.signature.outputs)} out" if v.HasField("signature") else "",
            _size(v.size),
            v.digest[:19],
            _time_of(v),
        ),
        to_json=_plain,
        delete=_delete_version,
        namespaced=False,
    ),
    Resource(
        names=("projects", "project"),
        header=("NAME", "MODELS", "AGE"),
        list=_projects,
        row=lambda p: (p.name, p.model_count, _time_of(p)),
        to_json=_plain,
        namespaced=False,
    ),
)
