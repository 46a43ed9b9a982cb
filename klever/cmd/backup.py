"""`klever backup FILE`."""

from __future__ import annotations

import argparse
from pathlib import Path

from klever.cmd.data import DataDirectory, default_data
from klever.store.sqlite import backup

EXAMPLES = "  klever backup ./klever-backup.db"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--data", type=Path, default=default_data(), metavar="DIR", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    backup(DataDirectory(args.data.absolute()).database, args.file)
    print(f"saved the objects to {args.file}")
    return 0
