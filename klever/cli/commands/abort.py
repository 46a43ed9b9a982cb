"""`klever abort NAME [PREDICTOR]`."""

from __future__ import annotations

import argparse

from klever.cli.commands.changes import print_changes
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server
from klever.cli.commands.stored import SERVINGS
from klever.v1alpha1.serving_service_pb2 import AbortServingRequest

EXAMPLES = """  klever abort digits                     (the canary goes, and main takes its requests)
  klever abort digits beta"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    parser.add_argument("predictor", metavar="PREDICTOR", nargs="?", default="", help="by default canary")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    api = connect(args)
    before = SERVINGS.get(api, api.namespace, args.name)
    request = AbortServingRequest(namespace=api.namespace, name=args.name, predictor=args.predictor)
    print_changes(before, api.call(api.servings.AbortServing, request))
    return 0
