"""`ormb save DIR REF`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from klever.artifacts import dialects, model
from klever.cli.ormb import context
from klever.cli.ormb.output import print_model
from klever.cli.progress import bytes_progress
from klever.oci.reference import Reference

EXAMPLES = """\
  ormb save ./digits vision/digits:v1
  ormb save ./digits harbor.example.com/vision/digits:v1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory",
        metavar="DIR",
        type=Path,
        help="contains model/ with the model's files, and ormbfile.yaml (created if it is missing)",
    )
    parser.add_argument(
        "reference", metavar="REF", help="[HOST/]PROJECT/MODEL[:TAG]; without a host, in the platform's registry"
    )
    parser.add_argument(
        "--dialect", default="ormb", metavar="NAME", help="layout of the artifact (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    reference, dialect = Reference.parse(args.reference), dialects.get(args.dialect)
    with bytes_progress("packing") as progress:
        saved = model.save(
            args.directory, reference, context.layout(), created=datetime.now(UTC), dialect=dialect, progress=progress
        )
    print_model(saved)
    print(f"{saved.reference.tag}: saved")
    return 0
