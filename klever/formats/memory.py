"""Estimates the memory that serving a language model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Cache", "memory_to_serve"]

_CACHED_BYTES: Final = 2
"""Bytes of an element of the cache: runtimes keep it as float16."""
_BATCH: Final = 512
"""How many tokens a runtime evaluates at a time, each with float32 scores for the whole vocabulary."""
_SCORE_BYTES: Final = 4
_MOST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Cache:
    """The cache of keys and values for each token of the context.

    `heads` counts the key-value heads of all layers, `head_size` the elements of a key and a value.
    """

    context_length: int = 0
    heads: int = 0
    head_size: int = 0
    vocabulary: int = 0

    @property
    def bytes(self) -> int:
        cached = self.context_length * self.heads * self.head_size * _CACHED_BYTES
        return cached + _BATCH * self.vocabulary * _SCORE_BYTES


def memory_to_serve(weights: int, cache: Cache) -> int:
    """Return the bytes of the weights, and of one full context."""
    return min(weights + max(0, cache.bytes), _MOST)
