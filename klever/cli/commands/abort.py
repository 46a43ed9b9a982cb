"""`klever abort NAME [PREDICTOR]`."""

from __future__ import annotations

import argparse

from klever.cli.commands.changes import print_changes
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server

EXAMPLES = """  klever abort digits                     (the canary goes, and main takes its requests)
  klever abort digits beta"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    parser.add_argument("predictor", metavar="PREDICTOR", nargs="?", default="", help="by default canary")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    before = api.servings.get(args.name)
    print_changes(before, api.abort(args.name, args.predictor))
    return 0
