"""`klever scale NAME N`."""

from __future__ import annotations

import argparse

from klever.cli.commands.changes import print_changes
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.stored import SERVINGS
from klever.cli.commands.wait import wait_for

EXAMPLES = """  klever scale digits 3
  klever scale digits 1 --predictor canary --wait"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    parser.add_argument("replicas", metavar="N", type=int, help="number of processes")
    parser.add_argument("--predictor", default="", help="by default main, or the only one")
    parser.add_argument("--wait", action="store_true", help="return when it is Ready")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    before = api.servings.get(args.name)
    print_changes(before, api.scale(args.name, args.replicas, predictor=args.predictor))
    if args.wait:
        done = "condition=Ready" if args.replicas else "condition=Progressing=False"  # with none it may serve nothing
        wait_for(api, SERVINGS, args.name, done, seconds(args.timeout))
    return 0
