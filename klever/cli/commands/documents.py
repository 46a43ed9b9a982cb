"""Objects that YAML files declare, checked before any of them is sent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from klever.api.codec import from_object
from klever.api.documents import read_documents
from klever.cli.commands.stored import StoredKind
from klever.errors import FieldViolation, InvalidError, KleverError

__all__ = ["Declared", "Place", "add_filename", "check_object", "read_items", "read_objects"]


class Place:
    """Puts the place of a document before the message of an error."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, KleverError):
            error.message = f"{self._where}: {error.message}"


class Declared(NamedTuple):
    """An object of a file: its place there, its kind, and its message."""

    where: str
    kind: StoredKind
    message: Any

    @property
    def name(self) -> str:
        return f"{self.kind.singular} {self.message.metadata.name}"


def add_filename(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--filename", required=True, metavar="FILE.yaml", help="objects; - for standard input")


def read_objects(filename: str, kinds: list[StoredKind]) -> list[Declared]:
    """Return the objects of a file, `-` for standard input. Raises `InvalidError` if one is wrong, or none is there."""
    found = []
    for where, item in read_items(filename):
        with Place(where):
            found.append(Declared(where, *check_object(item, kinds)))
    return found


def read_items(filename: str, *, aliases: bool = True) -> Iterator[tuple[str, Any]]:
    """Yield the documents of a file and the items of its Lists, with their places. Raises `InvalidError` for none."""
    source = "standard input" if filename == "-" else filename
    content = sys.stdin.buffer.read() if filename == "-" else Path(filename).read_bytes()
    is_empty = True
    for document_place, document in read_documents(content, source, aliases=aliases):
        for where, item in _items(document_place, document):
            is_empty = False
            yield where, item
    if is_empty:
        raise InvalidError(f"{source} holds no object")


def _items(where: str, document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the items of a List, as `klever get -o yaml` and kubectl print it, or the object itself."""
    items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else None
    if not isinstance(items, list):
        yield where, document
        return
    for index, item in enumerate(items):
        yield f"{where}: items[{index}]", item


def check_object(document: Any, kinds: list[StoredKind]) -> tuple[StoredKind, Any]:
    """Return the kind and the message of an object. Raises `InvalidError`."""
    if not isinstance(document, dict):
        raise InvalidError("must be an object")
    named = (document.get("apiVersion"), document.get("kind"))
    stored = next((stored for stored in kinds if named == (stored.kind.api_version, stored.kind.kind)), None)
    if not all(named):
        raise InvalidError("apiVersion and kind are required")
    if stored is None or stored.kind.message is None:
        known = ", ".join(f"{stored.kind} ({stored.kind.api_version})" for stored in kinds)
        raise InvalidError(f"cannot apply kind {named[1]!r} of apiVersion {named[0]!r}: expected one of {known}")
    try:
        message: Any = from_object(document, stored.kind.message, strict=True)
    except RecursionError as error:
        raise InvalidError("contains an alias of an object that it is itself a part of") from error
    if not message.metadata.name:
        raise InvalidError(violations=(FieldViolation("metadata.name", "is required"),))
    return stored, message
