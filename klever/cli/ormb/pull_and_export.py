"""`ormb pull-and-export URI DIR`: the storage initializer of servings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from klever.artifacts import model
from klever.cli.ormb import context, network
from klever.cli.ormb.output import print_model
from klever.cli.progress import bytes_progress
from klever.oci.reference import Reference
from klever.oci.registries import Credentials

EXAMPLES = """\
  ormb pull-and-export vision/digits:v1 /mnt/models
  ORMB_USERNAME=robot ORMB_PASSWORD=… ormb pull-and-export harbor.example.com/vision/digits:v1 /mnt/models \\
    --relayout=false"""

# Older Seldon installations pass the second pair to every initializer, whatever the storage.
_CREDENTIALS = (("ORMB_USERNAME", "ORMB_PASSWORD"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", metavar="URI", help="the model's reference")
    parser.add_argument("directory", metavar="DIR", type=Path, help="target directory; older files are replaced")
    parser.add_argument(
        "--relayout",
        metavar="true|false",
        type=_flag,
        nargs="?",
        const=True,
        default=True,
        help="export to DIR/1 instead of DIR/model (MLflow: to DIR); default true",
    )
    network.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    reference = Reference.parse(args.uri)
    connected = network.connect(reference.host, args, _credentials(os.environ))
    with connected as client, bytes_progress("pulling") as progress:
        exported = model.pull_and_export(
            reference, context.layout(), client, args.directory, relayout=args.relayout, progress=progress
        )
    print_model(exported)
    return 0


def _credentials(environ: Mapping[str, str]) -> Credentials | None:
    for username, password in _CREDENTIALS:
        if environ.get(username) and environ.get(password):
            return Credentials(environ[username], environ[password])
    return None


def _flag(text: str) -> bool:
    """Parse a boolean as Go's flags do."""
    if text.lower() in {"1", "t", "true"}:
        return True
    if text.lower() in {"0", "f", "false"}:
        return False
    raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
