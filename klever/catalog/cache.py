"""A cache of versions, bounded by bytes, because a push can have metadata of any size."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final

from klever.oci.digest import Digest

if TYPE_CHECKING:
    from klever.catalog.catalogue import Version

__all__ = ["VersionCache"]

_MOST_VERSIONS: Final = 4096
_MOST_BYTES: Final = 8 << 20
"""The most bytes of metadata as JSON, which takes up to ten times as much in memory."""


class VersionCache:
    """Versions by repository and digest. Threads may share it."""

    def __init__(self) -> None:
        self._versions: OrderedDict[tuple[str, Digest], tuple[Version, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, repository: str, digest: Digest) -> Version | None:
        version, _ = self._versions.get((repository, digest), (None, 0))
        return version

    def add(self, repository: str, version: Version, size: int) -> None:
        """Add a version whose metadata has `size` bytes as JSON, and drop the oldest ones to make room."""
        with self._lock:
            if (repository, version.digest) in self._versions:
                return
            self._versions[repository, version.digest] = (version, size)
            self._bytes += size
            while len(self._versions) > _MOST_VERSIONS or self._bytes > _MOST_BYTES:
                self._bytes -= self._versions.popitem(last=False)[1][1]
