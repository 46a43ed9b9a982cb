"""The resources models, versions and projects, which are not objects of a store."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from klever.api.codec import to_object
from klever.api.text import format_size
from klever.cli.commands import versions
from klever.cli.commands.output import age
from klever.cli.commands.resource import Resource

__all__ = ["CATALOGUE"]


def _created_at(message: Any) -> str:
    return age(message.create_time.ToJsonString()) if message.HasField("create_time") else ""


def _trust(version: Any) -> str:
    trust = type(version).Trust.Name(version.trust)
    return "" if trust == "TRUST_UNSPECIFIED" else trust.lower()


CATALOGUE: Final = (
    Resource(
        names=("models", "model"),
        header=("NAME", "VERSIONS", "LATEST", "FORMAT", "SIZE", "AGE"),
        get=versions.get_model,
        list=versions.list_models,
        list_full=partial(versions.list_models, full=True),
        row=lambda m: (
            f"{m.project}/{m.name}",
            m.version_count,
            m.latest.tag,
            m.latest.format,
            format_size(m.latest.size),
            _created_at(m.latest),
        ),
        to_json=versions.model_object,
        name_of=lambda m: f"{m.project}/{m.name}",
        watch=versions.watch_models,
        delete=versions.delete_model,
        one=lambda name: "/" in name,
        namespaced=False,
        wide={"DIGEST": lambda m: m.latest.digest, "TRUST": lambda m: _trust(m.latest)},
    ),
    Resource(
        names=("versions", "version"),
        header=("REFERENCE", "FORMAT", "SIGNATURE", "SIZE", "DIGEST", "AGE"),
        get=versions.get_version,
        list=versions.list_versions,
        list_full=partial(versions.list_versions, full=True),
        row=lambda v: (
            v.reference,
            v.format,
            f"{v.input_count} in, {v.output_count} out" if v.HasField("input_count") else "",
            format_size(v.size),
            v.digest[:19],
            _created_at(v),
        ),
        to_json=versions.version_object,
        name_of=lambda v: str(v.reference),
        labels=lambda v: dict(v.labels),
        delete=versions.delete_version,
        one=versions.is_version,
        namespaced=False,
        wide={
            "DIGEST": lambda v: v.digest,
            "TRUST": _trust,
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
        name_of=lambda p: str(p.name),
        delete=versions.delete_project,
        namespaced=False,
        scoped=False,
        wide={"CODE": lambda p: "allowed" if p.allow_code else "denied"},
    ),
)
