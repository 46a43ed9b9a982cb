"""`klever logs KIND/NAME`."""

from __future__ import annotations

import argparse

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server
from klever.cli.commands.resources import Resources
from klever.cli.commands.targets import add_target, read_target

EXAMPLES = """  klever logs serving digits -f
  klever logs serving/digits --instance digits-main-0
  klever logs modeljob extract-digits-v1 --tail 20"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "serving or modeljob")
    parser.add_argument("-f", "--follow", action="store_true", help="print new lines until the process has ended")
    parser.add_argument("--tail", type=_lines, metavar="LINES", help="print only the last LINES lines")
    parser.add_argument(
        "--instance", default="", help="one process of a Serving (`klever describe serving` lists them)"
    )
    add_server(parser)


def _lines(text: str) -> int:
    lines = int(text)
    if not 0 <= lines < 2**31:
        raise argparse.ArgumentTypeError(f"must be between 0 and {2**31 - 1}, not {text}")
    return lines


def run(args: argparse.Namespace) -> int:
    kind, name = read_target(args)
    stored = Resources(args.kinds).stored(kind, "StreamLogs", "logs")
    api = connect(args)
    fields = {"name": name, "instance": args.instance, "tail": args.tail, "follow": args.follow}
    for line in stored.stream(api, "StreamLogs", namespace=api.namespace, **fields):
        print(f"{line.instance}: {line.text}" if line.instance and not args.instance else line.text, flush=True)
    return 0
