"""`klever apply -f FILE.yaml`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from klever.api.codec import from_object
from klever.api.kinds import MODEL_JOB, SERVING, Kind, Object, kind_of
from klever.cli.klever.client import Api, connect
from klever.cli.klever.flags import add_server
from klever.errors import FieldViolation, InvalidError, KleverError
from klever.v1alpha1.job_service_pb2 import ApplyModelJobRequest
from klever.v1alpha1.modeljob_pb2 import ModelJob
from klever.v1alpha1.serving_pb2 import Serving
from klever.v1alpha1.serving_service_pb2 import ApplyServingRequest

EXAMPLES = """  klever apply -f serving.yaml
  cat *.yaml | klever apply -f -"""

Apply = Callable[[Api, Object, str, str], Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--filename", required=True, metavar="FILE.yaml", help="objects; - for standard input")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    source = "standard input" if args.filename == "-" else args.filename
    text = sys.stdin.read() if args.filename == "-" else Path(args.filename).read_text(encoding="utf-8")
    objects = list(_documents(text, source))
    if not objects:
        raise InvalidError(f"{source} holds no object")
    api = connect(args)
    for where, obj in objects:
        kind = kind_of(obj)
        metadata = obj.get("metadata") or {}
        namespace = metadata.get("namespace") or api.namespace
        with _Named(where):
            _APPLY[kind](api, obj, namespace, str(metadata.get("name", "")))
        print(f"{kind.kind.lower()} {metadata.get('name')} applied")
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


def _documents(text: str, source: str) -> Iterator[tuple[str, Object]]:
    """Yield each object with its place; every one is checked before the first is sent."""
    try:
        documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        raise InvalidError(f"{source} is not YAML: {error}") from error
    for index, document in enumerate(documents):
        if document is None:
            continue
        where = f"{source}[{index}]" if len(documents) > 1 else source
        with _Named(where):
            yield where, _check(document)


def _check(document: Any) -> Object:
    if not isinstance(document, dict):
        raise InvalidError("is no object")
    kind = kind_of(document)
    if kind not in _APPLY:
        raise InvalidError(f"{kind} cannot be applied; ModelJob and Serving can")
    if not (document.get("metadata") or {}).get("name"):
        raise InvalidError(violations=(FieldViolation("metadata.name", "is required"),))
    from_object(document, _MESSAGES[kind], strict=True)
    return document


def _job(api: Api, obj: Object, namespace: str, name: str) -> None:
    request = ApplyModelJobRequest(namespace=namespace, name=name, model_job=from_object(obj, ModelJob))
    api.call(api.jobs.ApplyModelJob, request)


def _serving(api: Api, obj: Object, namespace: str, name: str) -> None:
    request = ApplyServingRequest(namespace=namespace, name=name, serving=from_object(obj, Serving))
    api.call(api.servings.ApplyServing, request)


_MESSAGES: dict[Kind, Any] = {MODEL_JOB: ModelJob, SERVING: Serving}
_APPLY: dict[Kind, Apply] = {MODEL_JOB: _job, SERVING: _serving}
