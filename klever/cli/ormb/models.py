"""`ormb models`."""

from __future__ import annotations

import argparse

from klever.artifacts import model
from klever.cli.ormb import context
from klever.cli.ormb.output import human_size

EXAMPLES = "  ormb models"
_HEADER = ("REPOSITORY", "TAG", "FORMAT", "DIGEST", "CREATED", "SIZE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(args: argparse.Namespace) -> int:  # noqa: ARG001 - a verb's interface
    rows = [_HEADER, *map(_row, model.models(context.layout()))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(found: model.SavedModel) -> tuple[str, ...]:
    reference = found.reference
    return (
        reference.name,
        reference.tag or "<none>",
        found.format,
        found.digest.hex[:12],
        found.metadata.created,
        human_size(found.size),
    )
