"""The resources of the verbs: those in the table of kinds that have a service, and those of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from klever.api.codec import to_object
from klever.api.columns import Column
from klever.api.kinds import KINDS, Kind
from klever.cli.commands.catalogue import CATALOGUE
from klever.cli.commands.output import age
from klever.cli.commands.resource import Resource, Watch
from klever.cli.commands.stored import SERVINGS, StoredKind
from klever.errors import InvalidError

__all__ = ["Resources"]

_PROSE = 60
"""How many characters of a sentence a table shows. `-o wide` shows all of it."""


class Resources:
    """The resources of the command line. `further` are additional kinds."""

    def __init__(self, further: Iterable[Kind] = ()) -> None:
        stored = [_resource(StoredKind(kind)) for kind in (*KINDS, *further)]
        self.all = (*(resource for resource in stored if resource.supports("Get")), *CATALOGUE)

    def find(self, kind: str) -> Resource:
        """Return the resource of a name such as `serving`, `servings` or `srv`. Raises `InvalidError`."""
        for resource in self.all:
            if kind.lower() in resource.names:
                return resource
        raise InvalidError(f"unknown kind {kind!r}: expected one of {_plurals(self.all)}")

    def supporting(self, rpc: str) -> list[StoredKind]:
        """Return the kinds whose service has an RPC such as `Apply` or `ListEvents`."""
        return [resource.stored for resource in self.all if resource.stored and resource.supports(rpc)]

    def stored(self, kind: str, rpc: str, feature: str) -> StoredKind:
        """Return the kind with a name, if its service has an RPC. Raises `InvalidError` that lists such kinds."""
        resource = self.find(kind)
        if resource.stored is None or not resource.supports(rpc):
            raise self.unsupported(resource, feature, lambda other: other.supports(rpc))
        return resource.stored

    def check_labels(self, resource: Resource) -> None:
        """Raise `InvalidError` that lists the resources with labels, unless it has them."""
        if resource.labels is None:
            raise self.unsupported(resource, "labels", lambda other: other.labels is not None)

    def watch(self, resource: Resource) -> Watch:
        """Return the watch of a resource. Raises `InvalidError` that lists the resources that have one."""
        if resource.watch is None:
            raise self.unsupported(resource, "watches", lambda other: other.watch is not None)
        return resource.watch

    def unsupported(self, resource: Resource, feature: str, supports: Callable[[Resource], bool]) -> InvalidError:
        others = _plurals(filter(supports, self.all))
        return InvalidError(f"{resource.names[0]} do not support {feature}; these do: {others}")


def _plurals(resources: Iterable[Resource]) -> str:
    return ", ".join(resource.names[0] for resource in resources)


def _resource(stored: StoredKind) -> Resource:
    shown = tuple(column for column in stored.kind.columns if not column.wide)
    return Resource(
        names=stored.kind.names,
        header=("NAME", *(column.name.upper() for column in shown)),
        get=stored.get,
        list=stored.list,
        row=partial(_row, shown),
        to_json=to_object,
        name_of=lambda message: str(message.metadata.name),
        stored=stored,
        watch=stored.watch if stored.supports("Watch") else None,
        labels=lambda message: dict(message.metadata.labels),
        delete=stored.delete if stored.supports("Delete") else None,
        namespaced=stored.kind.namespaced,
        scoped=stored.kind.namespaced,
        wide={
            **{column.name.upper(): partial(_wide_cell, column) for column in stored.kind.columns},
            **(_FURTHER if stored == SERVINGS else {}),
        },
    )


def _digests(serving: Any) -> str:
    return ",".join(f"{p.name}={p.digest}" for p in serving.status.predictors if p.digest)


def _trust(serving: Any) -> str:
    return ",".join(f"{p.name}={p.trust.lower()}" for p in serving.status.predictors if p.trust)


_FURTHER: Final[dict[str, Callable[[Any], object]]] = {"DIGESTS": _digests, "TRUST": _trust}
"""Additional columns of Servings in `-o wide`."""


def _row(columns: tuple[Column, ...], message: Any) -> list[object]:
    obj = to_object(message)
    return [obj["metadata"].get("name", ""), *(_cell(column, obj) for column in columns)]


def _wide_cell(column: Column, message: Any) -> object:
    return _cell(column, to_object(message), most=None)


def _cell(column: Column, obj: Any, most: int | None = _PROSE) -> object:
    value = column.value(obj)
    if column.type == "date":
        return age(value or "")
    text = str(value) if value is not None else ""
    return text if " " not in text else " ".join(text.split())[:most]
