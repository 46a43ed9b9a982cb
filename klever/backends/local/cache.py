"""A cache of unpacked models: one per content digest, shared by all replicas, bounded on disk.

    ROOT/sha256-HEX/     an unpacked model; its modification time is its last use
    ROOT/.partial-…      the rest of an interrupted fetch or removal; removed at start

Models in use are never evicted. The least recently used other models make room.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from klever.disk import disk_errors, fsync
from klever.errors import ExhaustedError, InvalidError

__all__ = ["Fetch", "ModelCache"]

Fetch = Callable[[str, str, Path], None]
"""`fetch(reference, content, into)` unpacks the content layer into an empty directory (`into/model/…`). It blocks.

Raises `InvalidError` for a model that can never be unpacked, another `KleverError` for temporary errors.
"""

_PARTIAL: Final = ".partial-"
_THREADS: Final = 8
"""How many pulls run at a time. Others wait."""


@dataclass(slots=True)
class _Entry:
    path: Path
    size: int
    used_ns: int


class ModelCache:
    """The models below `root`, of at most `max_bytes` in total.

    Use it from one event loop. Blocking work runs in threads.
    """

    def __init__(self, root: Path, fetch: Fetch, *, max_bytes: int) -> None:
        self._root = root
        self._fetch = fetch
        self._max_bytes = max_bytes
        self._entries: dict[str, _Entry] = {}
        self._users: Counter[str] = Counter()
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "models")
        """The cache's own threads: a pull takes minutes, and all other parts share the few threads of the loop."""

    async def start(self) -> None:
        """Find the existing models, and remove unfinished ones."""
        self._entries = await asyncio.to_thread(self._scan)

    async def close(self) -> None:
        """Wait for the fetches in progress: a thread cannot be cancelled."""
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        self._threads.shutdown()

    @contextmanager
    def hold(self, content: str) -> Iterator[None]:
        """Keep a model from being evicted, whether or not it is in the cache yet."""
        self._users[content] += 1
        try:
            yield
        finally:
            self._users[content] -= 1
            self._users += Counter()  # drops zeros

    def known(self, content: str) -> Path | None:
        """Return the directory of a model; None if it is not cached."""
        entry = self._entries.get(content)
        return entry.path / "model" if entry else None

    async def path(self, reference: str, content: str) -> Path:
        """Return the directory of the unpacked model. Fetch it if it is missing. The caller must hold the model.

        `content` is the content layer's digest, the key. Concurrent callers share one fetch. Raises the errors of
        `fetch`, and `ExhaustedError` if the disk is full or models in use reach the bound.
        """
        while True:
            while content not in self._entries:
                await asyncio.shield(self._fetching(reference, content))
            entry = self._entries[content]
            try:
                entry.used_ns = await asyncio.to_thread(_touch, entry.path)
            except FileNotFoundError:  # a user removed it: fetch it again
                if self._entries.get(content) is entry:
                    del self._entries[content]
                continue
            return entry.path / "model"

    def _fetching(self, reference: str, content: str) -> asyncio.Task[None]:
        task = self._fetches.get(content)
        if task is None:
            task = asyncio.create_task(self._add(reference, content), name=f"fetch {reference}")
            task.add_done_callback(lambda done: self._fetched(content, done))
            self._fetches[content] = task
        return task

    def _fetched(self, content: str, task: asyncio.Task[None]) -> None:
        del self._fetches[content]
        if not task.cancelled():
            task.exception()  # marks the error as retrieved: every caller may have been cancelled

    async def _add(self, reference: str, content: str) -> None:
        """Fetch the model, and make room before and after, because its size is known only afterwards."""
        await self._evict(0)
        fetch = partial(asyncio.get_running_loop().run_in_executor, self._threads, self._unpack, reference, content)
        try:
            entry = await fetch()
        except ExhaustedError:
            if not await self._evict(self._max_bytes):
                raise
            entry = await fetch()
        self._entries[content] = entry
        await self._evict(0)
        if content in self._entries and (total := self._size()) > self._max_bytes:
            await self._drop(content)
            raise ExhaustedError(
                f"the model cache is full: {reference} has {entry.size} bytes; with the models in use it needs "
                f"{total} of {self._max_bytes}",
                reason="MODEL_CACHE_FULL",
            )

    async def _evict(self, room: int) -> bool:
        """Remove unused models, least recently used first, until `room` bytes are left. Return whether any was."""
        dropped = False
        for content in sorted(self._entries, key=lambda key: self._entries[key].used_ns):
            if self._size() + room <= self._max_bytes:
                break
            if content in self._entries and not self._users[content]:
                await self._drop(content)
                dropped = True
        return dropped

    async def _drop(self, content: str) -> None:
        """Remove a model. Rename it first, because it may be fetched again while its files are deleted."""
        path = self._entries.pop(content).path
        with disk_errors(path), suppress(FileNotFoundError):  # a user removed it
            doomed = path.rename(path.with_name(f"{_PARTIAL}{path.name}-{time.monotonic_ns()}"))
            await asyncio.to_thread(shutil.rmtree, doomed)

    def _size(self) -> int:
        return sum(entry.size for entry in self._entries.values())

    def _scan(self) -> dict[str, _Entry]:
        with disk_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            for partial in self._root.glob(f"{_PARTIAL}*"):
                shutil.rmtree(partial)
            return {path.name.replace("-", ":", 1): _entry(path) for path in self._root.iterdir()}

    def _unpack(self, reference: str, content: str) -> _Entry:
        """Fetch into a temporary directory, and move the complete and durable model into place."""
        path = self._root / content.replace(":", "-", 1)
        with disk_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)  # a user may have removed it
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._root))
            try:
                self._fetch(reference, content, partial)
                _check_model(reference, partial)
                _settle(partial)
                if path.exists():  # the rest of a model that a user removed
                    shutil.rmtree(path)
                partial.replace(path)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            return _entry(path)


def _check_model(reference: str, directory: Path) -> None:
    if not (directory / "model").is_dir():
        raise InvalidError(f"{reference} has no directory model/", reason="MODEL_EMPTY")


def _entry(path: Path) -> _Entry:
    files = [path, *path.rglob("*")]
    return _Entry(path, sum(file.lstat().st_blocks * 512 for file in files), path.stat().st_mtime_ns)


def _touch(path: Path) -> int:
    """Update and return the last use of an entry. Raises `FileNotFoundError` if the model is gone."""
    (path / "model").stat()
    now = time.time_ns()  # the file system's own clock is too coarse to order two uses
    os.utime(path, ns=(now, now))
    return now


def _settle(directory: Path) -> None:
    """Make files read-only, because they are shared, and durable, because the directory's name promises it."""
    directory.chmod(0o755)
    for path in directory.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
        fsync(path)
