"""`klever down`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from klever.cmd.data import DataDirectory, default_data
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
        count = asyncio.run(_stop(data))
    print(f"stopped {count} processes" if count else "nothing was running")
    return 0


async def _stop(data: DataDirectory) -> int:
    processes = ProcessManager(data.processes)
    running = [state for state in processes.list() if state.phase != "Exited"]
    gateway_first = sorted(running, key=lambda s: s.spec.id != "gateway")
    for state in gateway_first[:1]:
        await processes.stop(state.spec.id)
    await asyncio.gather(*(processes.stop(state.spec.id) for state in gateway_first[1:]))
    return len(running)
