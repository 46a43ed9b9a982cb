"""`klever cancel modeljob/NAME`."""

from __future__ import annotations

import argparse

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server
from klever.cli.commands.stored import MODEL_JOBS
from klever.cli.commands.targets import add_target, read_name

EXAMPLES = """  klever cancel modeljob extract-digits-v1
  klever cancel modeljob/extract-digits-v1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "modeljob")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    name = read_name(args, MODEL_JOBS)
    connect(args).jobs.cancel(name)
    print(f"modeljob {name} is being cancelled")
    return 0
