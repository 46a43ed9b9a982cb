"""Counts the weights of a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["Weights", "elements"]

_MOST: Final = (1 << 63) - 1
"""The largest count: a config has 64 bits, but the product of 32 dimensions would have 600 digits."""


def elements(size: Iterable[int]) -> int:
    """Return the product of the dimensions, at least 0 and at most 2**63 - 1."""
    count = 1
    for dim in size:
        count = min(count * max(0, dim), _MOST)
    return count


@dataclass(slots=True)
class Weights:
    """The number of parameters and their bytes, each at most 2**63 - 1."""

    parameters: int = 0
    bytes: int = 0

    def add(self, count: int, bits: int) -> None:
        """Count a tensor of `count` elements with `bits` bits each in the file."""
        self.add_bytes(count, (count * bits + 7) // 8)

    def add_bytes(self, count: int, size: int) -> None:
        """Count a tensor of `count` elements with `size` bytes in the file."""
        self.parameters = min(self.parameters + count, _MOST)
        self.bytes = min(self.bytes + size, _MOST)
