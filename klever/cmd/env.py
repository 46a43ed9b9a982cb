"""`klever env list|install|remove`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from klever.api.text import format_size
from klever.cli.commands.flags import add_output
from klever.cli.commands.output import print_objects, print_table
from klever.cli.terminal import escaped
from klever.cmd.data import default_cache
from klever.environments import EnvironmentManager

EXAMPLES = """  klever env list
  klever env install triton
  klever env remove triton"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_output(_action(verbs, "list", "list the environments, made or not", "list -o json"))
    for name in ("install", "remove"):
        _action(verbs, name, f"{name} one", f"{name} triton").add_argument("name", metavar="NAME")


def _action(verbs: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=summary.capitalize() + ".",
        epilog=f"examples:\n  klever env {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def run(args: argparse.Namespace) -> int:
    manager = EnvironmentManager(default_cache() / "environments")
    if args.action == "list":
        _list(manager, args.output)
    elif args.action == "install":
        path = asyncio.run(manager.ensure(args.name, lambda line: print(escaped(line), file=sys.stderr, flush=True)))
        print(f"{args.name} is ready: {path}")
    else:
        asyncio.run(manager.remove(args.name))
        print(f"{args.name} removed")
    return 0


def _list(manager: EnvironmentManager, output: str) -> None:
    found = [
        {
            "name": status.environment.name,
            "state": "ready" if status.ready else "not installed",
            "sizeBytes": status.size_bytes,
            "path": str(status.path),
        }
        for status in manager.list()
    ]
    if output != "table":
        print_objects(found, output, single=False)
        return
    rows = [(e["name"], e["state"], format_size(int(e["sizeBytes"])), e["path"]) for e in found]
    print_table(("NAME", "STATE", "SIZE", "PATH"), rows)
