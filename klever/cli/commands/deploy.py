"""`klever deploy REF --name NAME`: changes only the fields that its flags name."""

from __future__ import annotations

import argparse
from typing import Any

from klever.cli.commands.changes import print_changes
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.commands.stored import SERVINGS
from klever.cli.commands.wait import wait_for
from klever.client.rollout import Wish
from klever.errors import InvalidError

EXAMPLES = """  klever deploy team/digits:v1 --name digits --wait
  klever deploy team/digits:v2 --name digits                 (replicas, shares and all else stay)
  klever deploy team/digits:v2 --name digits --canary 20     (then `klever promote digits`, or `klever abort digits`)
  klever deploy team/digits:v2 --name digits --reset         (nothing else stays)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="the model, e.g. team/digits:v1")
    parser.add_argument("--name", required=True, help="name of the Serving, and of the model in its URL")
    parser.add_argument("--predictor", default="", help="predictor to change; by default main, or the only one")
    parser.add_argument("--runtime", default="", help="runtime; by default the one for the model's format")
    parser.add_argument("--replicas", type=int, help="number of processes; 1 for a new predictor")
    parser.add_argument("--canary", type=int, metavar="PERCENT", help="serve beside what runs, with this share")
    parser.add_argument("--reset", action="store_true", help="replace the whole spec instead of changing it")
    parser.add_argument("--wait", action="store_true", help="return when it is Ready")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    if args.canary is not None and (args.predictor or args.reset):
        raise InvalidError("--canary cannot be used with --predictor or --reset")
    api = connect(args)
    settings: dict[str, Any] = {"runtime": args.runtime} if args.runtime else {}
    settings |= {"replicas": args.replicas} if args.replicas is not None else {}
    wish = Wish(args.reference, "", args.predictor, args.canary, settings)
    before, after = api.change(args.name, wish, reset=args.reset)
    print(f"serving {args.name} {'created' if before is None else 'configured' if before != after else 'unchanged'}")
    if before != after:
        print_changes(before, after)
    if args.wait:
        serving = wait_for(api, SERVINGS, args.name, "condition=Ready", seconds(args.timeout))
        print(f"serving {args.name} is Ready: {serving.status.url}")
    return 0
