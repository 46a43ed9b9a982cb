"""`klever create project NAME`."""

from __future__ import annotations

import argparse

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server

EXAMPLES = "  klever create project team"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="project", choices=("project",))
    parser.add_argument("name", metavar="NAME")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    connect(args).projects.create(args.name)
    print(f"project {args.name} created")
    return 0
