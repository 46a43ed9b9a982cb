"""`klever promote NAME [PREDICTOR]`."""

from __future__ import annotations

import argparse

from klever.cli.commands.changes import print_changes
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.stored import SERVINGS
from klever.cli.commands.wait import wait_for

EXAMPLES = """  klever promote digits                   (the canary becomes main, and takes all requests)
  klever promote digits beta --wait"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    parser.add_argument("predictor", metavar="PREDICTOR", nargs="?", default="", help="by default canary")
    parser.add_argument("--wait", action="store_true", help="return when it is Ready")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    before = api.servings.get(args.name)
    print_changes(before, api.promote(args.name, args.predictor))
    if args.wait:
        wait_for(api, SERVINGS, args.name, "condition=Ready", seconds(args.timeout))
    return 0
