"""`ormb pull REF`."""

from __future__ import annotations

import argparse

from klever.artifacts import model
from klever.cli.ormb import context, network
from klever.cli.ormb.output import print_model
from klever.cli.progress import bytes_progress
from klever.oci.reference import Reference

EXAMPLES = """\
  ormb pull vision/digits:v1
  ormb pull harbor.example.com/vision/digits@sha256:…"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="the model; without a host, in the platform's registry")
    network.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    reference = Reference.parse(args.reference)
    print(f"{reference.target}: Pulling from {reference.name}", flush=True)
    with network.connect(reference.host, args) as client, bytes_progress("pulling") as progress:
        pulled = model.pull(reference, context.layout(), client, progress=progress)
    print_model(pulled)
    status = "Downloaded newer model" if pulled.newer else "Model is up to date"
    print(f"Status: {status} for {pulled.reference}")
    return 0
