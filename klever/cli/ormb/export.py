"""`ormb export REF`."""

from __future__ import annotations

import argparse
from pathlib import Path

from klever.artifacts import model
from klever.cli.ormb import context
from klever.cli.ormb.output import print_model
from klever.oci.reference import Reference

EXAMPLES = """\
  ormb export vision/digits:v1
  ormb export vision/digits:v1 -d ./digits"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="a model in the cache")
    parser.add_argument(
        "-d",
        "--dst",
        metavar="DIR",
        type=Path,
        default=Path(),
        help="target of model/ and ormbfile.yaml (default: the current directory)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing model/")


def run(args: argparse.Namespace) -> int:
    print_model(model.export(Reference.parse(args.reference), context.layout(), args.dst, replace=args.force))
    return 0
