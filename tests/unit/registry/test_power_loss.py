"""What the registry's database acknowledged is there after a power loss: tags, and the manifests that they name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import apsw
import pytest

from klever.oci.digest import Digest
from klever.registry import database
from klever.registry.index import Index
from klever.registry.manifest import PushedManifest
from klever.registry.records import Precondition
from tests.unit.disk import attached, cut_power, is_deleted, lost
from tests.unit.registry.client import manifest

POWER_LOSSES = 40
WRITERS = 6
REPOSITORY = "team/adder"


class SingleConnection:
    """Makes the connections of databases: one to write and read alike, for the disk cannot be shared.

    Checkpoints are frequent, to lose power in them too. `pragmas` are set beside the database's own.
    """

    def __init__(self, **pragmas: str) -> None:
        self._connect = database._connect
        self._pragmas = pragmas
        self._writer: apsw.Connection | None = None

    def __call__(self, path: Path) -> apsw.Connection:
        if self._writer is not None:  # the second one of a database is its reader's
            reader, self._writer = self._writer, None
            return reader
        self._writer = self._connect(path)
        for name, value in self._pragmas.items():
            self._writer.pragma(name, value)
        self._writer.wal_autocheckpoint(50)
        return self._writer


def content(name: str) -> bytes:
    return manifest(name.encode())


async def write(index: Index, prefix: str, acknowledge: Callable[[str], None]) -> None:
    """Push under ever new tags, and delete every third."""
    for number in count():
        name = f"{prefix}-{number}"
        await index.add_link(REPOSITORY, Digest.of(name.encode()), len(name))
        await index.put_manifest(REPOSITORY, name, PushedManifest.parse(content(name), ""), Precondition())
        acknowledge(f"+{name}")
        if is_deleted(name):
            await index.delete_tag(REPOSITORY, name)
            acknowledge(f"-{name}")


async def write_with_many(path: Path, acknowledge: Callable[[str], None]) -> None:
    index = Index.open(path)
    try:
        await asyncio.gather(*(write(index, f"w-{worker}", acknowledge) for worker in range(WRITERS)))
    finally:
        index.close()


def tags(path: Path) -> set[str]:
    """The tags that a new index finds, each with its whole manifest."""

    def is_whole(tag: str) -> bool:
        digest = index.tag(REPOSITORY, tag)
        found = index.manifest(REPOSITORY, digest) if digest else None
        return found is not None and found.content == content(tag)

    index = Index.open(path)
    try:
        return {tag for tag in index.tags(REPOSITORY, "", limit=100_000) if is_whole(tag)}
    finally:
        index.close()


async def lost_to_power_losses(path: Path, losses: int) -> tuple[int, int]:
    """Return how many acknowledged writes were lost over all power losses, and how many there were."""
    total = gone = 0
    for disk, acknowledged in await cut_power(partial(write_with_many, path), losses, Random(1)):
        with attached(disk):
            gone += len(lost(acknowledged, tags(path)))
        total += len(acknowledged)
    return gone, total


async def test_no_acknowledged_push_is_lost_to_a_power_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_connect", SingleConnection())
    gone, total = await lost_to_power_losses(tmp_path / "registry.db", POWER_LOSSES)
    assert gone == 0
    assert total > 1000


async def test_a_power_loss_would_show_what_is_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_connect", SingleConnection(synchronous="normal"))
    gone, _ = await lost_to_power_losses(tmp_path / "registry.db", 10)
    assert gone > 0
