"""`klever env list|install|remove|export|import`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from klever.api.text import format_size
from klever.cli.commands.flags import add_output
from klever.cli.commands.output import print_objects, print_table
from klever.cli.terminal import escaped
from klever.cmd.data import default_cache
from klever.environments import EnvironmentManager, export_environments, import_environments
from klever.errors import InvalidError

EXAMPLES = """  klever env list
  klever env install triton tabular
  klever env install torch --lock torch-cpu.txt
  klever env export triton tabular -o environments.zip    # on a machine with a package index
  klever env import environments.zip                      # on a machine without one
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
    archive = "environments.zip"
    export = _action(verbs, "export", "download environments into a file", f"export triton tabular -o {archive}")
    export.add_argument("names", metavar="NAME", nargs="+")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="the file to write")
    bring = _action(verbs, "import", "install environments from a file, without a package index", f"import {archive}")
    bring.add_argument("file", type=Path, metavar="FILE", help="a file of `klever env export`")


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
    match args.action:
        case "list":
            _list(manager, args.output)
        case "install":
            if args.lock is not None and len(args.names) > 1:
                raise InvalidError("--lock belongs to one environment: name only that one")
            for name in args.names:
                asyncio.run(_install(manager, name, args.lock))
        case "remove":
            for name in args.names:
                asyncio.run(_remove(manager, name))
        case "export":
            asyncio.run(export_environments(manager, args.names, args.output, _report))
            print(f"{args.output}: {', '.join(args.names)}")
        case "import":
            asyncio.run(_import(manager, args.file))
    return 0


async def _install(manager: EnvironmentManager, name: str, lock: Path | None) -> None:
    if lock is not None:
        await manager.use_lock(name, _read(lock))
    path = await manager.ensure(name, _report)
    print(f"{name} is ready: {path}")


async def _import(manager: EnvironmentManager, file: Path) -> None:
    for name, path in (await import_environments(manager, file, _report)).items():
        print(f"{name} is ready: {path}")


def _report(line: str) -> None:
    print(escaped(line), file=sys.stderr, flush=True)


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
            "state": "ready" if status.ready else "installing" if status.busy else "not installed",
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
