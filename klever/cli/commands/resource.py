"""The names, columns and calls of a kind, for the verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from klever.cli.commands.client import Api
from klever.cli.commands.stored import StoredKind

__all__ = ["Resource", "Watch"]

Watch = Callable[[Api, str, str, str], Iterator[Any]]
"""Yields the changes of the objects of a namespace, with a name and labels."""


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind. `get` returns the message of one name, `list` yields the messages of a name or all.

    Both take a namespace. `row` returns the cells of one object, `name_of` its name in the verbs. `stored` is None for
    resources that are not objects of a store.
    """

    names: tuple[str, ...]
    """The plural, the singular, then short names."""
    header: tuple[str, ...]
    get: Callable[[Api, str, str], Any]
    list: Callable[[Api, str, str, str], Iterator[Any]]
    row: Callable[[Any], Sequence[object]]
    to_json: Callable[[Any], dict[str, Any]]
    name_of: Callable[[Any], str]
    stored: StoredKind | None = None
    watch: Watch | None = None
    labels: Callable[[Any], Mapping[str, str]] | None = None
    delete: Callable[[Api, str, bool], None] | None = None
    """Deletes one object. With `force` it also deletes a version in use. Stored objects ignore `force`."""
    namespaced: bool = True
    """Whether an object has a namespace in its metadata."""
    scoped: bool = True
    """Whether a list has a project."""
    one: Callable[[str], bool] = bool
    """Whether a name means one object. For instance, a model's name without a tag means all its versions."""
    wide: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    """Further columns of `-o wide`, and fuller cells of the others."""
    list_full: Callable[[Api, str, str, str], Iterator[Any]] | None = None
    """Lists every field, if `list` omits some."""

    def supports(self, rpc: str) -> bool:
        """Return whether its service has an RPC such as `Watch` or `StreamLogs` for it."""
        return self.stored is not None and self.stored.supports(rpc)
