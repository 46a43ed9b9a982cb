"""`ormb remove REF`."""

from __future__ import annotations

import argparse

from klever.artifacts import model
from klever.cli.ormb import context
from klever.oci.reference import Reference

EXAMPLES = "  ormb remove vision/digits:v1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="a model in the cache; the registry keeps its copy")


def run(args: argparse.Namespace) -> int:
    reference = Reference.parse(args.reference)
    model.remove(reference, context.layout())
    print(f"{reference.target}: removed")
    return 0
