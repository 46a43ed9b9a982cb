"""What an installation can do, by names that stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from klever.artifacts.dialects import DIALECTS
from klever.converters.table import CONVERTERS
from klever.formats.table import names

__all__ = ["features"]


def features(runtimes: Iterable[str], *, kubernetes: bool) -> Iterator[str]:
    """Yield the features of a platform, in no order."""
    yield "store.kubernetes" if kubernetes else "store.sqlite"
    yield from (f"format.{name}" for name in names())
    yield from (f"runtime.{name}" for name in runtimes)
    yield from (f"conversion.{source}.{target}" for source, target in CONVERTERS)
    yield from (f"dialect.{name}" for name in DIALECTS)
