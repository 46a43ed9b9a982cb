"""What the flags of `klever up` and `klever controllers` say."""

from __future__ import annotations

import argparse

import pytest

from klever.cmd.options import Options, add_machine_flags, machine_options
from klever.errors import InvalidError
from klever.limits import DEFAULTS


def options(*flags: str) -> Options:
    parser = argparse.ArgumentParser()
    add_machine_flags(parser)
    return machine_options(parser.parse_args(flags), keep_serving=False)


def test_limits_are_the_tables_unless_told_otherwise() -> None:
    assert options().limits == DEFAULTS


def test_limits_are_changed_by_name() -> None:
    changed = options("--limit", "tensors=7", "--limit", "example_bytes=1024").limits
    assert (changed.tensors, changed.example_bytes, changed.tensor_rank) == (7, 1024, DEFAULTS.tensor_rank)


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(InvalidError):
        options("--limit", "tensor=7")
