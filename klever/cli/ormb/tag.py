"""`ormb tag SOURCE TARGET`."""

from __future__ import annotations

import argparse

from klever.artifacts import model
from klever.cli.ormb import context
from klever.oci.reference import Reference

EXAMPLES = "  ormb tag vision/digits:v1 harbor.example.com/vision/digits:v1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a model in the cache")
    parser.add_argument("target", metavar="TARGET", help="the additional name")


def run(args: argparse.Namespace) -> int:
    model.tag(Reference.parse(args.source), Reference.parse(args.target), context.layout())
    return 0
