"""`klever down`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from klever.cmd.data import DataDirectory, default_data
from klever.cmd.stopping import stop_processes
from klever.errors import NotFoundError
from klever.process import ProcessManager

EXAMPLES = """  klever down
  klever down --data ./data"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=default_data(), metavar="DIR", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    data = DataDirectory(args.data.absolute())
    if not data.root.is_dir():
        raise NotFoundError(f"{data.root} is no data directory")
    with data.lock():
        count = asyncio.run(stop_processes(ProcessManager(data.processes)))
    print(f"stopped {count} processes" if count else "nothing was running")
    return 0
