"""`klever down`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from klever.cmd.data import DataDirectory, default_data
from klever.cmd.holders import end_holders
from klever.cmd.stopping import stop_processes
from klever.errors import NotFoundError
from klever.process import ProcessManager

EXAMPLES = """  klever down
  klever down --data ./data"""

_HOLDERS_S = 120.0
"""Longer than `klever up` takes to drain and stop everything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=default_data(), metavar="DIR", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    data = DataDirectory(args.data.absolute())
    if not data.root.is_dir():
        raise NotFoundError(f"no data directory found at {data.root}")
    ended = end_holders(data.holders, _HOLDERS_S)
    for pid in ended:
        print(f"the platform has stopped (process {pid})")
    with data.lock():
        count = asyncio.run(stop_processes(ProcessManager(data.processes)))
    if count or not ended:
        print(f"stopped {count} processes" if count else "nothing was running")
    return 0
