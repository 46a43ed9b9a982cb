"""`klever apply -f FILE.yaml`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from klever.api.codec import from_object
from klever.api.documents import read_documents
from klever.api.kinds import MODEL_JOB, SERVING, Kind
from klever.cli.commands.client import Api, connect
from klever.cli.commands.flags import add_server
from klever.cli.commands.stored import refuse_deleting
from klever.errors import FieldViolation, InvalidError, KleverError
from klever.v1alpha1.job_service_pb2 import ApplyModelJobRequest
from klever.v1alpha1.modeljob_pb2 import ModelJob
from klever.v1alpha1.serving_pb2 import Serving
from klever.v1alpha1.serving_service_pb2 import ApplyServingRequest

EXAMPLES = """  klever apply -f serving.yaml
  cat *.yaml | klever apply -f -"""

Apply = Callable[[Api, Any, str, str], Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--filename", required=True, metavar="FILE.yaml", help="objects; - for standard input")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    source = "standard input" if args.filename == "-" else args.filename
    content = sys.stdin.buffer.read() if args.filename == "-" else Path(args.filename).read_bytes()
    objects = list(_objects(content, source))
    if not objects:
        raise InvalidError(f"{source} holds no object")
    api = connect(args)
    for where, kind, message in objects:
        metadata = message.metadata
        with _Named(where):
            applied = _APPLY[kind](api, message, metadata.namespace or api.namespace, metadata.name)
            refuse_deleting(f"{kind.kind.lower()} {metadata.name}", applied)
        print(f"{kind.kind.lower()} {metadata.name} applied")
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


def _objects(content: bytes, source: str) -> Iterator[tuple[str, Kind, Any]]:
    """Yield each object's place, kind and message; every one is checked before the first is sent."""
    for document_place, document in read_documents(content, source):
        for where, item in _items(document_place, document):
            with _Named(where):
                yield where, *_check(item)


def _items(where: str, document: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a List holds, as `klever get -o yaml` and kubectl print it; anything else is one object."""
    items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else None
    if not isinstance(items, list):
        yield where, document
        return
    for index, item in enumerate(items):
        yield f"{where}: items[{index}]", item


def _check(document: Any) -> tuple[Kind, Any]:
    if not isinstance(document, dict):
        raise InvalidError("is no object")
    named = (document.get("apiVersion"), document.get("kind"))
    kind = next((kind for kind in _APPLY if named == (kind.api_version, kind.kind)), None)
    if kind is None:
        known = " and ".join(f"{kind.kind} ({kind.api_version})" for kind in _APPLY)
        raise InvalidError(f"kind {named[1]!r} of apiVersion {named[0]!r} cannot be applied; {known} can")
    try:
        message = from_object(document, _MESSAGES[kind], strict=True)
    except RecursionError as error:
        raise InvalidError("holds an alias of what it is itself a part of") from error
    if not message.metadata.name:
        raise InvalidError(violations=(FieldViolation("metadata.name", "is required"),))
    return kind, message


def _job(api: Api, job: ModelJob, namespace: str, name: str) -> Any:
    return api.call(api.jobs.ApplyModelJob, ApplyModelJobRequest(namespace=namespace, name=name, model_job=job))


def _serving(api: Api, serving: Serving, namespace: str, name: str) -> Any:
    return api.call(api.servings.ApplyServing, ApplyServingRequest(namespace=namespace, name=name, serving=serving))


_MESSAGES: dict[Kind, Any] = {MODEL_JOB: ModelJob, SERVING: Serving}
_APPLY: dict[Kind, Apply] = {MODEL_JOB: _job, SERVING: _serving}
