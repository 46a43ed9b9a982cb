"""The registry itself: durable repositories of blobs, manifests and tags, with events for a listener."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from klever.disk import disk_errors, fsync
from klever.errors import FailedPreconditionError, IntegrityError, InvalidError, NotFoundError
from klever.limits import DEFAULTS, Limits
from klever.oci.digest import Digest
from klever.oci.reference import is_repository, is_tag
from klever.registry.blobs import Blobs
from klever.registry.events import DeleteEvent, Listener, Notifier, PushEvent
from klever.registry.index import Index
from klever.registry.manifest import PushedManifest
from klever.registry.records import Precondition, StoredManifest, Tag
from klever.registry.threads import Threads

__all__ = ["InUse", "Registry", "check_repository", "check_tag", "split_target"]

_DAY: Final = 24 * 3600.0
_PAGE: Final = 1000
_REFERRERS_BYTES: Final = 1 << 20
"""The bytes of manifests after which a list of referrers ends: each may have 4 MiB of annotations."""
_SMALLEST: Final = 512  # size of a database in bytes; SQLite takes any smaller file for a new one
_ANY: Final = Precondition()
_NAMED: Final = 10
"""How many users of a version an error names."""

_log = logging.getLogger(__name__)


class InUse(Protocol):
    """Who uses a version that is to be deleted."""

    async def __call__(
        self, repository: str, tags: Sequence[str], digest: Digest | None, *, removed: bool
    ) -> Sequence[str]:
        """Return who uses these tags or this digest, in words.

        The digest is None while another tag names it. `removed` says whether the manifest itself goes.
        """


async def _unused(*_arguments: object, **_options: object) -> Sequence[str]:
    return ()


class Registry:
    """The registry, used by the HTTP server and directly by other parts of the process. Created by `open`.

    A `target` is a tag or a digest. Every method checks names: `InvalidError` with the reason NAME_INVALID, TAG_INVALID
    or DIGEST_INVALID.
    """

    def __init__(self, root: Path, index: Index, blobs: Blobs, threads: Threads, listener: Listener | None) -> None:
        self.blobs = blobs
        self._scrubbed = root / "scrubbed"
        self._index = index
        self._threads = threads
        self._notifier = Notifier(listener)
        self._in_use: InUse = _unused

    @classmethod
    async def open(
        cls,
        root: Path,
        *,
        listener: Listener | None = None,
        grace: float = _DAY,
        clock: Callable[[], float] = time.time,
        limits: Limits = DEFAULTS,
        in_use: InUse = _unused,
    ) -> Self:
        """Open the registry in the directory `root`. Create it if it is missing. `grace` is that of `Blobs`, in
        seconds. `in_use` is asked before a deletion.

        Raises `FailedPreconditionError` if a newer Klever wrote it, `IntegrityError` if its database is damaged.
        """
        threads = Threads()
        index = await threads.submit(_open_index, root, clock)
        blobs = Blobs(root, index, threads, grace=grace, clock=clock, limits=limits)
        registry = cls(root, index, blobs, threads, listener)
        registry._in_use = in_use
        return registry

    async def close(self) -> None:
        """Deliver the queued events, finish the pending writes, and release the files."""
        await self._notifier.close()
        await self.blobs.close()
        await asyncio.to_thread(self._threads.close)
        self._index.close()

    # Reading

    def repositories(self, *, after: str = "", limit: int = _PAGE) -> list[str]:
        """Return at most `limit` repositories that have a manifest, in order, after `after`."""
        return self._index.repositories(after, limit)

    def tags(self, repository: str, *, after: str = "", limit: int = _PAGE) -> list[str]:
        """Return at most `limit` tags, in order, after `after`. Raises `NotFoundError` for an unknown repository."""
        if not self._index.knows(check_repository(repository)):
            raise NotFoundError(f"repository {repository} not found", reason="NAME_UNKNOWN")
        return self._index.tags(repository, after, limit)

    def count_tags(self, repository: str) -> int:
        """Return the number of tags of the repository; 0 for an unknown one."""
        return self._index.count_tags(check_repository(repository))

    def tagged(
        self, repository: str, config_media_types: Iterable[str], *, containing: str = "", offset: int, limit: int
    ) -> list[Tag]:
        """Return at most `limit` tags, in order, from the `offset`th on.

        The tags contain a text and name manifests whose config has one of the media types.
        """
        return self._index.tagged(check_repository(repository), config_media_types, containing, offset, limit)

    def newest(self, repository: str, config_media_types: Iterable[str], *, limit: int) -> list[Tag]:
        """Return the `limit` most recently pushed tags, newest first, of manifests as in `tagged`."""
        return self._index.newest(check_repository(repository), config_media_types, limit)

    def manifest_size(self, repository: str, target: str) -> int:
        """Return the bytes of the manifest of `target`, without reading them; 0 if there is none."""
        check_repository(repository)
        tag, wanted = split_target(target)
        digest = self._index.tag(repository, tag) if tag else wanted
        return self._index.manifest_size(repository, digest) if digest else 0

    def manifest(self, repository: str, target: str) -> StoredManifest:
        """Return the manifest of `target`. Raises `NotFoundError`, also for a damaged one, which a push repairs."""
        check_repository(repository)
        tag, wanted = split_target(target)
        digest = self._index.tag(repository, tag) if tag else wanted
        manifest = self._index.manifest(repository, digest) if digest else None
        if manifest is None:
            raise NotFoundError(f"manifest {target} not found in {repository}", reason="MANIFEST_UNKNOWN")
        if not _is_intact(manifest.digest, manifest.content):
            raise NotFoundError(
                f"manifest {manifest.digest} of {repository} is damaged: push it again", reason="MANIFEST_UNKNOWN"
            )
        return manifest

    async def referrers(
        self, repository: str, subject: Digest, *, artifact_type: str = "", after: str = "", limit: int = _PAGE
    ) -> tuple[list[PushedManifest], bool]:
        """Return intact manifests that refer to `subject`, ordered by digest, after `after`; and whether more follow.

        There are at most `limit`, and fewer if they are large.
        """
        check_repository(repository)
        found, size, more = list[PushedManifest](), 0, True
        while more and len(found) < limit and size < _REFERRERS_BYTES:
            rows = self._index.referrers(repository, subject, artifact_type, after, 2)
            for row in rows[:1]:
                after, size = row.digest, size + len(row.content)
                found += await self._threads.submit(_parse_intact, row)
            more = len(rows) > 1
        return found, more

    # Writing

    async def put_manifest(
        self,
        repository: str,
        target: str,
        content: bytes,
        media_type: str,
        *,
        precondition: Precondition = _ANY,
        actor: str = "",
    ) -> PushedManifest:
        """Store a manifest durably.

        Raises `InvalidError` (MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN), `IntegrityError`, `ConflictError`.
        """
        check_repository(repository)
        tag, digest = split_target(target)
        manifest = await self._threads.submit(PushedManifest.parse, content, media_type, digest)
        missing = await self.blobs.missing(repository, list(manifest.blobs))
        if missing:
            raise InvalidError(f"blob {missing[0]} not found in {repository}", reason="MANIFEST_BLOB_UNKNOWN")
        await self._index.put_manifest(repository, tag, manifest, precondition)
        self._notifier.publish(_pushed(repository, tag, manifest, actor))
        return manifest

    async def delete(self, repository: str, target: str, *, actor: str = "", force: bool = False) -> None:
        """Delete a tag, or a manifest by its digest with all its tags.

        Raises `NotFoundError`, and unless forced `FailedPreconditionError` if somebody uses it.
        """
        check_repository(repository)
        if not force:
            await self.check_unused(repository, target)
        tag, digest = split_target(target)
        if digest is None:
            digest = await self._index.delete_tag(repository, tag)
        else:
            await self._index.delete_manifest(repository, digest)
        self._notifier.publish(DeleteEvent(repository, tag, digest, actor))

    async def check_unused(self, repository: str, target: str) -> None:
        """Raise `FailedPreconditionError` if somebody uses the tag, or the manifest with this digest."""
        tag, digest = split_target(target)
        named = digest or self._index.tag(repository, tag)
        tags = self._index.manifest_tags(repository, named) if named else []
        last = named if digest or tags == [tag] else None
        users = await self._in_use(repository, tags if digest else [tag], last, removed=digest is not None)
        if users:
            more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
            raise FailedPreconditionError(
                f"{repository}{'@' if digest else ':'}{digest or tag} is in use by {', '.join(users[:_NAMED])}{more}: "
                "deploy another version there first, or delete it with --force (in the registry's API: ?force=true)",
                reason="VERSION_IN_USE",
            )

    async def scrub(self) -> list[Digest]:
        """Read everything and quarantine damaged blobs. Return the digests of damaged blobs and manifests."""
        damaged, last = await self.blobs.scrub(), 0
        while manifests := self._index.manifests(last, limit=16):
            for _, repository, digest, content in manifests:
                if not await self._threads.submit(_is_intact, digest, content):
                    _log.error("manifest %s of %s is damaged: push it again", digest, repository)
                    damaged.append(digest)
            last = manifests[-1][0]
        with disk_errors(self._scrubbed):
            self._scrubbed.touch()
        return damaged

    def scrubbed_at(self) -> float:
        """Return when the last scrub ended, or the registry was created, in Unix seconds."""
        with disk_errors(self._scrubbed):
            return self._scrubbed.stat().st_mtime


def check_repository(name: str) -> str:
    """Return `name` if it is a valid repository name. Raises `InvalidError` otherwise."""
    if not is_repository(name):
        raise InvalidError(f"invalid repository name {name!r}", reason="NAME_INVALID")
    return name


def check_tag(tag: str) -> str:
    """Return `tag` if it is valid. Raises `InvalidError` otherwise."""
    if not is_tag(tag):
        raise InvalidError(f"invalid tag {tag!r}", reason="TAG_INVALID")
    return tag


def split_target(target: str) -> tuple[str, Digest | None]:
    """Return (tag, None) or ("", digest). Raises `InvalidError`."""
    return ("", Digest.parse(target)) if ":" in target else (check_tag(target), None)


def _pushed(repository: str, tag: str, manifest: PushedManifest | StoredManifest, actor: str) -> PushEvent:
    return PushEvent(
        repository=repository,
        tag=tag,
        digest=manifest.digest,
        media_type=manifest.media_type,
        config_media_type=manifest.config_media_type,
        size=manifest.size,
        actor=actor,
    )


def _is_intact(digest: Digest, content: bytes) -> bool:
    hasher = digest.hasher()
    hasher.update(content)
    return Digest.of_hash(hasher) == digest


def _parse_intact(stored: StoredManifest) -> list[PushedManifest]:
    """Return the manifest, or nothing if it is damaged."""
    if not _is_intact(stored.digest, stored.content):
        return []
    return [PushedManifest.parse(stored.content, stored.media_type, stored.digest)]


def _open_index(root: Path, clock: Callable[[], float]) -> Index:
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        fsync(root.parent)
        if not (root / "scrubbed").exists():
            (root / "scrubbed").touch()
        _check_not_lost(root)
    return Index.open(root / "registry.db", clock)


def _check_not_lost(root: Path) -> None:
    """Raise `IntegrityError` if there are blobs but no index: a new index would let all blobs be collected."""
    path = root / "registry.db"
    if path.exists() and path.stat().st_size < _SMALLEST:
        raise IntegrityError(f"{path} is empty: restore a backup of {root}, or remove {root} to start without models")
    if not path.exists() and any(root.glob("blobs/*/*")):
        raise IntegrityError(
            f"{path} is missing, but its blobs exist: restore a backup of {root}, or remove {root} to start without "
            "models"
        )
