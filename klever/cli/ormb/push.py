"""`ormb push REF`."""

from __future__ import annotations

import argparse

from klever.artifacts import model
from klever.cli.ormb import context, network
from klever.cli.ormb.output import human_size, print_model
from klever.cli.progress import bytes_progress
from klever.oci.reference import Reference

EXAMPLES = """\
  ormb push vision/digits:v1
  ormb push registry.local:5000/vision/digits:v1 --plain-http"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference", metavar="REF", help="a model in the cache; without a host, it goes to the platform's registry"
    )
    network.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    reference = Reference.parse(args.reference)
    layout = context.layout()
    found = model.inspect(reference, layout)
    print(f"The push refers to repository [{found.reference.name}]", flush=True)
    with network.connect(reference.host, args) as client, bytes_progress("pushing") as progress:
        before = client.get_digest(reference.repository, found.reference.target)
        pushed = model.push(reference, layout, client, progress=progress)
    print_model(pushed)
    if before not in (None, pushed.manifest.digest):
        print(f"{pushed.reference.target}: named {before} before, which stays in the registry under its digest")
    count = f"{pushed.layers} layer{'' if pushed.layers == 1 else 's'}"
    print(f"{pushed.reference.target}: pushed to remote ({count}, {human_size(pushed.size)} total)")
    return 0
