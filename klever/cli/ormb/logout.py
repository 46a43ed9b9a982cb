"""`ormb logout [HOST]`."""

from __future__ import annotations

import argparse
import os

from klever.cli.ormb import context

EXAMPLES = "  ormb logout harbor.example.com"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", nargs="?", default="", help="the platform's registry by default")


def run(args: argparse.Namespace) -> int:
    host = args.host or context.platform_endpoint(os.environ).host
    context.credentials_file().remove(host)
    print(f"Removing login credentials for {host}")
    return 0
