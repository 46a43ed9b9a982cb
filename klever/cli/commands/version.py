"""`klever version`."""

from __future__ import annotations

import argparse
from typing import Any

import klever
from klever.api.codec import to_object
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_output, add_server
from klever.cli.commands.output import print_objects, serializes
from klever.errors import KleverError

EXAMPLES = """  klever version
  klever version --client
  klever version -o json      (includes the features and limits of the server)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--client", action="store_true", help="ask no server")
    add_output(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    found: dict[str, Any] = {"client": {"version": klever.__version__}}
    failure = None
    if not args.client:
        try:
            found["server"] = to_object(_server(args))
        except KleverError as error:  # the version of the client is known nevertheless
            failure = error
    if serializes(args.output):
        print_objects([found], args.output, single=True)
    else:
        for side, info in found.items():
            print(f"{side}: klever {info['version']}{f' (API {api})' if (api := info.get('apiVersion')) else ''}")
    if failure:
        raise failure
    return 0


def _server(args: argparse.Namespace) -> Any:
    return connect(args).server_info()
