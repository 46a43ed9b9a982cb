"""`klever import -f SELDONDEPLOYMENT.yaml`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import yaml

from klever.api.codec import to_object
from klever.cli.commands.apply import add_dry_run, apply
from klever.cli.commands.documents import Declared, Place, add_filename, check_object, read_items
from klever.cli.commands.flags import add_server
from klever.cli.commands.previews import check, declared_part
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind
from klever.cli.terminal import escaped
from klever.errors import InvalidError
from klever.seldon.deployment import import_deployment

EXAMPLES = """  klever import -f seldon.yaml > serving.yaml     (warnings name the fields that a Serving does not have)
  klever import -f seldon.yaml --apply --dry-run
  kubectl get sdep -o yaml | klever import -f - --apply"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_filename(parser)
    parser.add_argument("--apply", action="store_true", help="apply the Servings instead of printing them")
    add_dry_run(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    if args.dry_run and not args.apply:
        raise InvalidError("--dry-run needs --apply: without it, nothing is written")
    kinds = Resources(args.kinds).supporting("Apply")
    objects = [_import(where, item, kinds) for where, item in read_items(args.filename, aliases=False)]
    if args.apply:
        apply(args, objects)
        return 0
    documents = [declared_part(to_object(declared.message)) for declared in objects]
    print(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120), end="")
    return 0


def _import(where: str, item: Any, kinds: list[StoredKind]) -> Declared:
    """Return the Serving of a SeldonDeployment. Print the fields that it cannot express."""
    with Place(where):
        serving, warnings = import_deployment(item)
        declared = Declared(where, *check_object(serving, kinds))
    for warning in warnings:
        print(escaped(f"warning: {where}: {warning}"), file=sys.stderr)
    with Place(f"{where}, as a Serving"):
        check(declared)
    return declared
