"""`klever env list|install|remove`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from klever.api.text import format_size
from klever.cli.commands.flags import add_output
from klever.cli.commands.output import print_objects, print_table
from klever.cli.terminal import escaped
from klever.cmd.data import default_cache
from klever.environments import EnvironmentManager
from klever.errors import InvalidError

EXAMPLES = """  klever env list
  klever env install triton tabular
  klever env install torch --lock torch-cpu.txt
  klever env remove tabular"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_output(_action(verbs, "list", "list the environments, installed or not", "list -o json"))
    for name in ("install", "remove"):
        action = _action(verbs, name, f"{name} environments", f"{name} triton tabular")
        action.add_argument("names", metavar="NAME", nargs="+")
        if name == "install":
            action.add_argument(
                "--lock",
                type=Path,
                metavar="FILE",
                help="requirements with hashes, in place of Klever's own until the environment is removed",
            )


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
        return 0
    if args.action == "install" and args.lock is not None and len(args.names) > 1:
        raise InvalidError("--lock belongs to one environment: name that one alone")
    for name in args.names:
        asyncio.run(_install(manager, name, args.lock) if args.action == "install" else _remove(manager, name))
    return 0


async def _install(manager: EnvironmentManager, name: str, lock: Path | None) -> None:
    if lock is not None:
        await manager.use_lock(name, _read(lock))
    path = await manager.ensure(name, lambda line: print(escaped(line), file=sys.stderr, flush=True))
    print(f"{name} is ready: {path}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidError(f"cannot read {path}: {error.strerror}") from error


async def _remove(manager: EnvironmentManager, name: str) -> None:
    await manager.remove(name)
    print(f"{name} removed")


def _list(manager: EnvironmentManager, output: str) -> None:
    found: list[dict[str, Any]] = [
        {
            "name": status.environment.name,
            "state": "ready" if status.ready else "not installed",
            "sizeBytes": status.size_bytes,
            "path": str(status.path),
            **({"lock": str(status.environment.lock)} if status.own_lock else {}),
        }
        for status in manager.list()
    ]
    if output != "table":
        print_objects(found, output, single=False)
        return
    rows = [
        (e["name"], e["state"] + ", own lock" * ("lock" in e), format_size(int(e["sizeBytes"])), e["path"])
        for e in found
    ]
    print_table(("NAME", "STATE", "SIZE", "PATH"), rows)


def _state(environment: Mapping[str, Any]) -> str:
    return f"{environment['state']}, own lock" if "lock" in environment else str(environment["state"])
