"""Facts about Triton's releases."""

from __future__ import annotations

from typing import Final

from klever.runtimes import Guard

__all__ = ["ENVIRONMENT_VERSION", "required_guard"]

ENVIRONMENT_VERSION: Final = "2.51.0"
"""The tritonserver of the environment `triton`."""

_ROBUST: Final[frozenset[str]] = frozenset()
"""Releases that survive every request of tests/attacks/test_triton_guard.py by themselves: none so far."""


def required_guard(version: str) -> Guard:
    """Return the guard that a release needs: the full check, unless the release is known to be robust."""
    return Guard.NONE if version in _ROBUST else Guard.TRITON
