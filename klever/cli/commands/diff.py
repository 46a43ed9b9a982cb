"""`klever diff -f FILE.yaml`."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator

import yaml

from klever.api.codec import to_object
from klever.api.kinds import Object
from klever.cli.commands.client import Api, connect
from klever.cli.commands.documents import Declared, Place, add_filename, read_objects
from klever.cli.commands.flags import add_server
from klever.cli.commands.previews import declared_part, find, preview
from klever.cli.commands.resources import Resources
from klever.cli.terminal import escaped

EXAMPLES = "  klever diff -f serving.yaml     (exit code 1 if an apply would change something)"
_DIFFERENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_filename(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    objects = read_objects(args.filename, Resources(args.kinds).supporting("Apply"))
    api = connect(args)
    lines = [line for declared in objects for line in _diff(api, declared)]
    for line in lines:
        print(escaped(line))
    return _DIFFERENT if lines else 0


def _diff(api: Api, declared: Declared) -> Iterator[str]:
    """Yield the lines of a unified diff from the object as it is to what an apply would make of it."""
    metadata = declared.message.metadata
    with Place(declared.where):
        before = find(api, declared.kind, metadata.namespace or api.namespace, metadata.name)
        after = preview(api, declared)
    old = _text(declared_part(to_object(before))) if before is not None else []
    yield from difflib.unified_diff(old, _text(after), f"{declared.name} (now)", declared.where, lineterm="")


def _text(obj: Object) -> list[str]:
    return yaml.safe_dump(obj, sort_keys=False, allow_unicode=True).splitlines()
