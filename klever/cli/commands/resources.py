"""The kinds that verbs speak of: names, columns and calls. A kind is a row of `RESOURCES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from klever.api.codec import to_object
from klever.api.text import format_size
from klever.cli.commands import versions
from klever.cli.commands.client import Api
from klever.cli.commands.output import age
from klever.cli.commands.stored import JOBS, SERVINGS, StoredKind
from klever.errors import InvalidError

__all__ = ["RESOURCES", "Resource", "find"]

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind: `get` returns the message of one name, `list` yields those of a name or of all.

    Both are told the namespace; where `namespaced` is false, only one that was asked for by name. `row` is what a table
    shows of one. `stored` is there for what can be watched.
    """

    names: tuple[str, ...]
    header: tuple[str, ...]
    get: Callable[[Api, str, str], Any]
    list: Callable[[Api, str, str, str], Iterator[Any]]
    row: Callable[[Any], Row]
    to_json: Callable[[Any], dict[str, Any]]
    stored: StoredKind | None = None
    delete: Callable[[Api, str], None] | None = None
    namespaced: bool = True
    one: Callable[[str], bool] = bool
    """Whether a name means one object: without a tag that of a model means all its versions."""
    wide: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    """Further columns of `-o wide`."""
    list_full: Callable[[Api, str, str, str], Iterator[Any]] | None = None
    """Lists every field, where `list` leaves some out."""


def find(kind: str) -> Resource:
    """Return the resource of a name such as `serving`, `servings` or `srv`; raises `InvalidError`."""
    for resource in RESOURCES:
        if kind.lower() in resource.names:
            return resource
    known = ", ".join(resource.names[0] for resource in RESOURCES)
    raise InvalidError(f"there is no kind {kind!r}; there are: {known}")


def _condition(serving: Any, kind: str) -> str:
    return next((c.status for c in serving.status.conditions if c.type == kind), "Unknown")


def _created(obj: Any) -> str:
    return age(to_object(obj.metadata).get("creationTimestamp", ""))


def _created_at(message: Any) -> str:
    return age(message.create_time.ToJsonString()) if message.HasField("create_time") else ""


RESOURCES: Final = (
    Resource(
        names=("servings", "serving", "srv"),
        header=("NAME", "READY", "PHASE", "REPLICAS", "TRAFFIC", "URL", "AGE"),
        get=SERVINGS.get,
        list=SERVINGS.list,
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
        stored=SERVINGS,
        delete=SERVINGS.delete,
    ),
    Resource(
        names=("modeljobs", "modeljob", "mj"),
        header=("NAME", "PHASE", "MODEL", "MESSAGE", "AGE"),
        get=JOBS.get,
        list=JOBS.list,
        row=lambda j: (j.metadata.name, j.status.phase, j.spec.model, j.status.message[:60], _created(j)),
        to_json=to_object,
        stored=JOBS,
        delete=JOBS.delete,
    ),
    Resource(
        names=("models", "model"),
        header=("NAME", "VERSIONS", "LATEST", "FORMAT", "SIZE", "AGE"),
        get=versions.get_model,
        list=versions.list_models,
        list_full=partial(versions.list_models, view="full"),
        row=lambda m: (
            f"{m.project}/{m.name}",
            m.version_count,
            m.latest.tag,
            m.latest.format,
            format_size(m.latest.size),
            _created_at(m.latest),
        ),
        to_json=versions.model_object,
        one=lambda name: "/" in name,
        namespaced=False,
    ),
    Resource(
        names=("versions", "version"),
        header=("REFERENCE", "FORMAT", "SIGNATURE", "SIZE", "DIGEST", "AGE"),
        get=versions.get_version,
        list=versions.list_versions,
        list_full=partial(versions.list_versions, view="full"),
        row=lambda v: (
            v.reference,
            v.format,
            f"{v.input_count} in, {v.output_count} out" if v.HasField("input_count") else "",
            format_size(v.size),
            v.digest[:19],
            _created_at(v),
        ),
        to_json=versions.version_object,
        delete=versions.delete_version,
        one=versions.is_version,
        namespaced=False,
        wide={
            "TRUST": lambda v: v.trust,
            "FILES": lambda v: v.inspection.files if v.HasField("inspection") else "",
            "CODE-FILES": lambda v: v.inspection.code_file_count if v.HasField("inspection") else "",
        },
    ),
    Resource(
        names=("projects", "project"),
        header=("NAME", "MODELS", "AGE"),
        get=versions.get_project,
        list=versions.list_projects,
        row=lambda p: (p.name, p.model_count, _created_at(p)),
        to_json=to_object,
        namespaced=False,
        wide={"CODE": lambda p: "allowed" if p.allow_code else "denied"},
    ),
)
