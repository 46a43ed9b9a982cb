"""Reads the versions of a list in chunks, because a push can have metadata of any size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

from klever.catalog.catalogue import Version
from klever.limits import Limits

__all__ = ["read_by_time", "read_page"]

T = TypeVar("T")
Read = Callable[[Sequence[T]], Awaitable[list[Version | None]]]
"""Returns the version of each tag; None if it cannot be read."""

_PAGE_BYTES: Final = 4 << 20
"""The most bytes of metadata in a page, which must fit in a message."""


async def read_page(tags: Sequence[T], read: Read[T], *, chunk: int) -> list[Version | None]:
    """Return the versions of the tags in their order. A page with large metadata is shorter, but never empty.

    `chunk` tags are read at a time.
    """
    page: list[Version | None] = []
    left = _PAGE_BYTES
    async for version in _versions(tags, read, chunk):
        left -= version.config_bytes if version else 0
        if left < 0 and page:
            return page
        page.append(version)
    return page


async def read_by_time(
    tags: Sequence[T], read: Read[T], repository: str, limits: Limits, *, chunk: int
) -> list[Version]:
    """Return the readable versions, oldest first.

    Raises `InvalidError` for tags beyond the limit `versions_by_time`, or metadata beyond the limit `listed_bytes`.
    """
    limits.check("versions_by_time", len(tags), f"the model {repository}", "order_by")
    found: list[Version] = []
    used = 0
    async for version in _versions(tags, read, chunk):
        if version:
            found.append(version)
            used += version.config_bytes
            limits.check("listed_bytes", used, f"the metadata of the versions of {repository}", "order_by")
    return sorted(found, key=lambda version: version.created)


async def _versions(tags: Sequence[T], read: Read[T], chunk: int) -> AsyncIterator[Version | None]:
    for start in range(0, len(tags), chunk):
        for version in await read(tags[start : start + chunk]):
            yield version
        await asyncio.sleep(0)  # cached versions are read without waiting: let other tasks run
