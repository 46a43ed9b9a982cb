"""`klever rollback NAME [--to N]`."""

from __future__ import annotations

import argparse

from klever.cli.commands.changes import print_changes
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.stored import SERVINGS
from klever.cli.commands.wait import wait_for

EXAMPLES = """  klever rollback digits                  (what serves, if the spec is not Ready; else what served before)
  klever rollback digits --to 3 --wait    (`klever history serving digits` lists the numbers)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    parser.add_argument("--to", type=int, default=0, metavar="N", help="number of the revision")
    parser.add_argument("--wait", action="store_true", help="return when it is Ready")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    before = api.servings.get(args.name)
    print_changes(before, api.rollback(args.name, args.to))
    if args.wait:
        wait_for(api, SERVINGS, args.name, "condition=Ready", seconds(args.timeout))
    return 0
