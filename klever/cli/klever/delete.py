"""`klever delete KIND NAME`."""

from __future__ import annotations

import argparse

from klever.cli.klever.client import connect
from klever.cli.klever.flags import add_server
from klever.cli.klever.resources import find
from klever.errors import InvalidError

EXAMPLES = """  klever delete serving digits
  klever delete version team/digits:v1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help="modeljob, serving or version")
    parser.add_argument("names", metavar="NAME", nargs="+")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    resource = find(args.kind)
    if resource.delete is None:
        raise InvalidError(f"{resource.names[0]} cannot be deleted; modeljobs, servings and versions can")
    api = connect(args)
    for name in args.names:
        resource.delete(api, name)
        print(f"{resource.names[1]} {name} deleted")
    return 0
