"""A command that ran beside a server of this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from klever.store import Key

__all__ = ["KEY", "Done", "Klever"]

KEY = Key("default", "digits")
"""The Serving that `declare` writes."""


class Done(NamedTuple):
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int


Klever = Callable[..., Awaitable[Done]]
