"""`klever extract MODEL`: read a signature without a server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from klever import formats
from klever.artifacts.ormbfile import NAME, read_ormbfile
from klever.cli.commands.details import describe
from klever.cli.commands.flags import add_output
from klever.cli.commands.output import print_objects, print_table
from klever.cli.terminal import escaped
from klever.errors import InvalidError
from klever.formats import Tensor

EXAMPLES = """  klever extract ./digits
  klever extract ./digits -o json
  klever extract ./deploy.prototxt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="a directory that contains model/, as for `ormb save`, or one file"
    )
    parser.add_argument("--format", default="", help="the format; by default detected from ormbfile.yaml or the files")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    model = args.model if args.model.is_file() else args.model / "model"
    if not model.exists():
        raise InvalidError(f"{args.model} has no directory model/: put the model's files there")
    described = read_ormbfile(args.model / NAME) if args.model.is_dir() else None
    name = args.format or (described and described.format) or formats.detect(model, partial=True)
    signature = formats.get(name).read_signature(model, partial=True)
    if args.output != "table":
        print_objects([{"format": name, "signature": signature.to_json()}], args.output, single=True)
        return 0
    print(f"format: {name}")
    for label, text in describe(signature.details):
        print(escaped(f"{label}: {text}"))
    rows = [("input", *_row(t)) for t in signature.inputs] + [("output", *_row(t)) for t in signature.outputs]
    if rows:
        print_table(("", "NAME", "TYPE", "SHAPE"), rows)
    if signature.layers:
        print(escaped("operators: " + ", ".join(f"{op} {count}" for op, count in signature.layers.items())))
    for warning in signature.details.warnings:
        print(escaped(f"warning: {warning}"), file=sys.stderr)
    return 0


def _row(tensor: Tensor) -> tuple[str, str, str]:
    shape = "unknown rank" if tensor.size is None else str(list(tensor.size))
    return tensor.name, tensor.dtype, shape
