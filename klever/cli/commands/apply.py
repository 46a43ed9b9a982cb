"""`klever apply -f FILE.yaml`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from klever.api.codec import from_object
from klever.api.documents import read_documents
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind, refuse_deleting
from klever.errors import FieldViolation, InvalidError, KleverError

EXAMPLES = """  klever apply -f serving.yaml
  cat *.yaml | klever apply -f -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--filename", required=True, metavar="FILE.yaml", help="objects; - for standard input")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    source = "standard input" if args.filename == "-" else args.filename
    content = sys.stdin.buffer.read() if args.filename == "-" else Path(args.filename).read_bytes()
    kinds = Resources(args.kinds).supporting("Apply")
    objects = list(_objects(content, source, kinds))
    if not objects:
        raise InvalidError(f"{source} holds no object")
    api = connect(args)
    for where, kind, message in objects:
        metadata = message.metadata
        with _Named(where):
            applied = kind.apply(api, message, metadata.namespace or api.namespace)
            refuse_deleting(f"{kind.singular} {metadata.name}", applied)
        print(f"{kind.singular} {metadata.name} applied")
    return 0


class _Named:
    """Puts the document's place before an error's message."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, KleverError):
            error.message = f"{self._where}: {error.message}"


def _objects(content: bytes, source: str, kinds: list[StoredKind]) -> Iterator[tuple[str, StoredKind, Any]]:
    """Yield each object's place, kind and message; every one is checked before the first is sent."""
    for document_place, document in read_documents(content, source):
        for where, item in _items(document_place, document):
            with _Named(where):
                yield where, *_check(item, kinds)


def _items(where: str, document: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a List holds, as `klever get -o yaml` and kubectl print it; anything else is one object."""
    items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else None
    if not isinstance(items, list):
        yield where, document
        return
    for index, item in enumerate(items):
        yield f"{where}: items[{index}]", item


def _check(document: Any, kinds: list[StoredKind]) -> tuple[StoredKind, Any]:
    if not isinstance(document, dict):
        raise InvalidError("must be an object")
    named = (document.get("apiVersion"), document.get("kind"))
    stored = next((stored for stored in kinds if named == (stored.kind.api_version, stored.kind.kind)), None)
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
