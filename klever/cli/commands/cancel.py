"""`klever cancel modeljob NAME`."""

from __future__ import annotations

import argparse

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server

EXAMPLES = "  klever cancel modeljob extract-digits-v1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="modeljob", choices=("modeljob", "modeljobs", "mj"))
    parser.add_argument("name", metavar="NAME")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    connect(args).jobs.cancel(args.name)
    print(f"modeljob {args.name} is being cancelled")
    return 0
