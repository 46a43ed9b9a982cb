"""`klever allow-code PROJECT`."""

from __future__ import annotations

import argparse

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server

EXAMPLES = """  klever allow-code team           (its Servings may run commands, and models that contain code)
  klever allow-code team --deny    (stops Servings that run code)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--deny", action="store_true", help="forbid it again, and stop Servings that run code")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    connect(args).projects.allow_code(args.project, not args.deny)
    print(f"project {args.project} {'does not allow' if args.deny else 'allows'} code")
    return 0
