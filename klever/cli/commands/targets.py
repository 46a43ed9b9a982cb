"""The objects that a command line names: `KIND[,KIND]`, `KIND NAME …` or `KIND/NAME …`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from klever.cli.commands.resource import Resource
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind
from klever.errors import (
    ConflictError,
    DeadlineError,
    FailedPreconditionError,
    InvalidError,
    KleverError,
    NotFoundError,
)

__all__ = ["Failures", "Target", "add_target", "add_targets", "read_name", "read_target", "read_targets"]

_OF_ONE = (NotFoundError, FailedPreconditionError, ConflictError, InvalidError, DeadlineError)
"""Errors that say nothing about the other objects."""


class Target(NamedTuple):
    """An object, or with an empty name all objects of a kind."""

    resource: Resource
    name: str

    @property
    def label(self) -> str:
        return f"{self.resource.names[1]} {self.name}"


def add_targets(parser: argparse.ArgumentParser, kinds: str, *, required: bool = True) -> None:
    """Add the arguments for any number of objects. `kinds` lists examples of kinds."""
    parser.add_argument(
        "targets",
        metavar="KIND[/NAME]",
        nargs="+" if required else "*",
        help=f"a kind ({kinds}), then names; or any number of KIND/NAME",
    )


def add_target(parser: argparse.ArgumentParser, kinds: str) -> None:
    """Add the arguments for one object."""
    parser.add_argument("kind", metavar="KIND[/NAME]", help=f"{kinds}; or both in one, e.g. serving/digits")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="the object")


def read_targets(words: Sequence[str], resources: Resources) -> list[Target]:
    """Return the objects that the words name. Raises `InvalidError`."""
    if "/" not in words[0]:
        kinds = [resources.find(kind) for kind in words[0].split(",")]
        return [Target(kind, name) for kind in kinds for name in words[1:] or ("",)]
    return [_target(word, resources) for word in words]


def read_target(args: argparse.Namespace) -> tuple[str, str]:
    """Return the kind and the name of one object. Raises `InvalidError`."""
    kind, slash, name = args.kind.partition("/")
    if bool(name) == bool(args.name) or (slash and not name):
        raise InvalidError(f"name one object: klever {args.verb} KIND/NAME, or KIND NAME")
    return kind, name or args.name


def read_name(args: argparse.Namespace, stored: StoredKind) -> str:
    """Return the name of one object of a kind. Raises `InvalidError`."""
    kind, name = read_target(args)
    if kind.lower() not in stored.kind.names:
        raise InvalidError(f"{args.verb} is for {stored.plural}, not for {kind!r}")
    return name


def _target(word: str, resources: Resources) -> Target:
    kind, _, name = word.partition("/")
    if not name:
        raise InvalidError(f"invalid object {word!r}: expected KIND/NAME, as for the first one")
    return Target(resources.find(kind), name)


class Failures:
    """The errors of single objects. The others go on, and all errors are raised in the end."""

    def __init__(self) -> None:
        self._errors: list[KleverError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    @contextmanager
    def kept(self) -> Iterator[None]:
        try:
            yield
        except _OF_ONE as error:
            self._errors.append(error)

    def end(self, what: str) -> None:
        """Raise the errors as a group; nothing if there are none."""
        if self._errors:
            raise ExceptionGroup(what, self._errors)
