"""`klever extract MODEL_DIR`: read a signature without a server."""

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
  klever extract ./digits -o json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="MODEL_DIR", type=Path, help="holds model/, as for `ormb save`")
    parser.add_argument("--format", default="", help="the format, instead of what ormbfile.yaml or the files say")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    directory = args.directory / "model"
    if not directory.is_dir():
        raise InvalidError(f"{args.directory} has no model/ in it: put the model's files there")
    described = read_ormbfile(args.directory / NAME)
    name = args.format or (described and described.format) or formats.detect(directory)
    formats.check_layout(name, directory)
    signature = formats.get(name).read_signature(directory)
    if args.output != "table":
        print_objects([{"format": name, "signature": signature.to_json()}], args.output, single=True)
        return 0
    print(f"format: {name}")
    for label, text in describe(signature.details):
        print(f"{label}: {text}")
    rows = [("input", *_row(t)) for t in signature.inputs] + [("output", *_row(t)) for t in signature.outputs]
    if rows:
        print_table(("", "NAME", "TYPE", "SHAPE"), rows)
    if signature.layers:
        print("operators: " + ", ".join(f"{op} {count}" for op, count in signature.layers.items()))
    for warning in signature.details.warnings:
        print(escaped(f"warning: {warning}"), file=sys.stderr)
    return 0


def _row(tensor: Tensor) -> tuple[str, str, str]:
    shape = "unknown rank" if tensor.size is None else str(list(tensor.size))
    return tensor.name, tensor.dtype, shape
