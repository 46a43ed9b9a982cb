"""`ormb logout [HOST]`."""

from __future__ import annotations

import argparse
import os

from klever.cli.ormb import context

EXAMPLES = "  ormb logout harbor.example.com"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "host", metavar="HOST", nargs="?", default="", help="host or URL; by default the platform's registry"
    )


def run(args: argparse.Namespace) -> int:
    _, host = context.named_host(args.host, os.environ)
    context.credentials_file().remove(host)
    print(f"Removing login credentials for {host}")
    return 0
