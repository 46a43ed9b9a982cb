"""`klever apply -f FILE.yaml`."""

from __future__ import annotations

import argparse
from typing import Any

from klever.api.codec import to_object
from klever.cli.commands.client import Api, connect
from klever.cli.commands.documents import Declared, Place, add_filename, read_objects
from klever.cli.commands.flags import add_server
from klever.cli.commands.previews import check, declared_part, find, outcome, preview
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import refuse_deleting

EXAMPLES = """  klever apply -f serving.yaml
  klever apply -f serving.yaml --dry-run          (what it would do; `klever diff` shows the changes)
  klever apply -f serving.yaml --dry-run=client   (checks the file, and asks no server)
  cat *.yaml | klever apply -f -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_filename(parser)
    add_dry_run(parser)
    add_server(parser)


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", choices=("client", "server"), nargs="?", const="server", help="write nothing; server by default"
    )


def run(args: argparse.Namespace) -> int:
    apply(args, read_objects(args.filename, Resources(args.kinds).supporting("Apply")))
    return 0


def apply(args: argparse.Namespace, objects: list[Declared]) -> None:
    """Apply each object, or print the result of a dry run."""
    if args.dry_run == "client":
        for declared in objects:
            with Place(declared.where):
                check(declared)
            print(f"{declared.name} is valid (client dry run)")
        return
    api = connect(args)
    for declared in objects:
        with Place(declared.where):
            print(f"{declared.name} {_try(api, declared) if args.dry_run else _apply(api, declared)}")


def _before(api: Api, declared: Declared) -> Any:
    metadata = declared.message.metadata
    return find(api, declared.kind, metadata.namespace or api.namespace, metadata.name)


def _try(api: Api, declared: Declared) -> str:
    """Return the result of a dry run of an apply."""
    return f"{outcome(_before(api, declared), preview(api, declared))} (server dry run)"


def _apply(api: Api, declared: Declared) -> str:
    """Apply an object, also one that is being deleted: an apply can remove the finalizer that holds it."""
    before = _before(api, declared)
    applied = declared.kind.apply(api, declared.message, declared.message.metadata.namespace or api.namespace)
    refuse_deleting(declared.name, applied)
    return outcome(before, declared_part(to_object(applied)))
