"""`klever traffic NAME PREDICTOR=PERCENT…`."""

from __future__ import annotations

import argparse

from klever.api.codec import to_object
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server
from klever.cli.commands.stored import refuse_deleting
from klever.errors import InvalidError
from klever.traffic.shares import format_shares, parse_shares, read_shares

EXAMPLES = """  klever traffic digits main=80 canary=20
  klever traffic digits --undo"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    parser.add_argument("shares", metavar="PREDICTOR=PERCENT", nargs="*", help="shares; the sum must be 100")
    parser.add_argument("--undo", action="store_true", help="return to the shares before the last change")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    if args.undo == bool(args.shares):
        raise InvalidError("give shares such as main=80 canary=20, or --undo")
    api = connect(args)
    servings, shares = api.servings, parse_shares(args.shares)
    serving = servings.undo_traffic(args.name) if args.undo else servings.set_traffic(args.name, shares)
    refuse_deleting(f"serving {args.name}", serving)
    print(f"serving {args.name}: {format_shares(read_shares(to_object(serving.spec)['predictors']))}")
    return 0
