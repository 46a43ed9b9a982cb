"""`ormb version`."""

from __future__ import annotations

import argparse

import klever

EXAMPLES = "  ormb version"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(args: argparse.Namespace) -> int:  # noqa: ARG001 - a verb's interface
    print(f"ormb {klever.__version__}")
    return 0
