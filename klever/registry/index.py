"""The content of each repository: links to blobs, manifests, tags. Transactions change the rows of one database.

A link lets one repository read one blob. Without a link the blob does not exist there, even if another repository has
it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Self

import apsw

from klever.errors import FailedPreconditionError, InvalidError, NotFoundError
from klever.oci.digest import Digest
from klever.oci.manifest import Descriptor
from klever.registry.database import Database
from klever.registry.manifest import PushedManifest
from klever.registry.records import Link, Precondition, StoredManifest, Tag

__all__ = ["Index"]

_SCHEMAS: Final = (
    """
CREATE TABLE links (
    repository TEXT, digest TEXT, size INTEGER, touched REAL, PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX links_by_digest ON links (digest);
CREATE TABLE manifests (
    repository TEXT, digest TEXT, media_type TEXT, artifact_type TEXT, config_media_type TEXT, subject TEXT,
    size INTEGER, pushed REAL, content BLOB, UNIQUE (repository, digest)
);
CREATE INDEX manifests_by_subject ON manifests (repository, subject, digest) WHERE subject IS NOT NULL;
CREATE TABLE children (
    repository TEXT, manifest TEXT, child TEXT, PRIMARY KEY (repository, manifest, child)
) WITHOUT ROWID;
CREATE INDEX children_by_child ON children (repository, child);
CREATE TABLE tags (
    repository TEXT, tag TEXT, digest TEXT, pushed REAL, PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags (repository, digest);
""",
    "CREATE INDEX tags_by_push ON tags (repository, pushed);",
)
_MANIFESTS: Final = """
SELECT digest, media_type, artifact_type, config_media_type, size, pushed, content FROM manifests WHERE repository = ?
"""
_TAGGED: Final = """
SELECT tags.tag, tags.digest, tags.pushed FROM tags JOIN manifests USING (repository, digest)
WHERE repository = ? AND instr(tag, ?) AND config_media_type IN (SELECT value FROM json_each(?))
"""
_HAS_MANIFEST: Final = "SELECT 1 FROM manifests WHERE repository = ? AND digest = ?"


class Index:
    """The rows. Reads are fast and run on the caller's thread. Writes are durable when they return."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(cls, path: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open the database. Blocks, and raises the errors of `Database`."""
        return cls(Database(path, _SCHEMAS), clock)

    def close(self) -> None:
        self._database.close()

    # Reading

    def link(self, repository: str, digest: Digest) -> Link | None:
        rows = self._database.read(
            "SELECT size, touched FROM links WHERE repository = ? AND digest = ?", repository, digest
        )
        return Link(*rows[0]) if rows else None

    def is_linked(self, digest: Digest) -> bool:
        """Whether any repository has a link to the blob."""
        return bool(self._database.read("SELECT 1 FROM links WHERE digest = ? LIMIT 1", digest))

    def linked_repositories(self, digest: Digest, limit: int) -> list[str]:
        """Return at most `limit` repositories that have a link to the blob."""
        sql = "SELECT repository FROM links WHERE digest = ? ORDER BY repository LIMIT ?"
        return [row[0] for row in self._database.read(sql, digest, limit)]

    def project_bytes(self, project: str) -> int:
        """Return the size of the blobs that the repositories of a project have, each counted once."""
        sql = (
            "SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT digest, size FROM links"
            " WHERE repository = ?1 OR (repository > ?1 || '/' AND repository < ?1 || '0'))"  # 0 follows / in ASCII
        )
        size: int = self._database.read(sql, project)[0][0]
        return size

    def knows(self, repository: str) -> bool:
        """Whether the repository has a manifest or a blob."""
        sql = (
            "SELECT 1 FROM manifests WHERE repository = ?1 UNION ALL SELECT 1 FROM links WHERE repository = ?1 LIMIT 1"
        )
        return bool(self._database.read(sql, repository))

    def tag(self, repository: str, tag: str) -> Digest | None:
        """Return the digest of the manifest that the tag names."""
        rows = self._database.read("SELECT digest FROM tags WHERE repository = ? AND tag = ?", repository, tag)
        return Digest(rows[0][0]) if rows else None

    def manifest_tags(self, repository: str, digest: Digest) -> list[str]:
        """Return the tags that name a manifest."""
        rows = self._database.read("SELECT tag FROM tags WHERE repository = ? AND digest = ?", repository, digest)
        return [row[0] for row in rows]

    def manifest(self, repository: str, digest: Digest) -> StoredManifest | None:
        rows = self._database.read(_MANIFESTS + "AND digest = ?", repository, digest)
        return _stored(rows[0]) if rows else None

    def manifest_size(self, repository: str, digest: Digest) -> int:
        """Return the bytes of a manifest, without reading them; 0 if it is unknown."""
        sql = "SELECT length(content) FROM manifests WHERE repository = ? AND digest = ?"
        rows = self._database.read(sql, repository, digest)
        return rows[0][0] if rows else 0

    def tags(self, repository: str, after: str, limit: int) -> list[str]:
        """Return at most `limit` tags after `after`, in the order of their bytes."""
        sql = "SELECT tag FROM tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?"
        return [row[0] for row in self._database.read(sql, repository, after, limit)]

    def count_tags(self, repository: str) -> int:
        count: int = self._database.read("SELECT count(*) FROM tags WHERE repository = ?", repository)[0][0]
        return count

    def tagged(
        self, repository: str, config_media_types: Iterable[str], containing: str, offset: int, limit: int
    ) -> list[Tag]:
        """Return at most `limit` tags, from the `offset`th on, of manifests whose config has one of the media types."""
        sql = _TAGGED + "ORDER BY tag LIMIT ? OFFSET ?"
        types = json.dumps(list(config_media_types))
        return list(map(_tag, self._database.read(sql, repository, containing, types, limit, offset)))

    def newest(self, repository: str, config_media_types: Iterable[str], limit: int) -> list[Tag]:
        """Return the `limit` most recently pushed tags, of manifests as in `tagged`."""
        sql = _TAGGED + "ORDER BY tags.pushed DESC LIMIT ?"
        return list(map(_tag, self._database.read(sql, repository, "", json.dumps(list(config_media_types)), limit)))

    def repositories(self, after: str, limit: int) -> list[str]:
        """Return at most `limit` repositories with a manifest, after `after`."""
        sql = "SELECT DISTINCT repository FROM manifests WHERE repository > ? ORDER BY repository LIMIT ?"
        return [row[0] for row in self._database.read(sql, after, limit)]

    def referrers(
        self, repository: str, subject: Digest, artifact_type: str, after: str, limit: int
    ) -> list[StoredManifest]:
        """Return at most `limit` manifests that refer to `subject`, of one type if given, after the digest `after`."""
        sql = _MANIFESTS + "AND subject = ? AND ? IN ('', artifact_type) AND digest > ? ORDER BY digest LIMIT ?"
        return [_stored(row) for row in self._database.read(sql, repository, subject, artifact_type, after, limit)]

    def manifests(self, after: int, limit: int) -> list[tuple[int, str, Digest, bytes]]:
        """Return at most `limit` manifests after row `after`: (row, repository, digest, content)."""
        sql = "SELECT rowid, repository, digest, content FROM manifests WHERE rowid > ? ORDER BY rowid LIMIT ?"
        return [(row, name, Digest(digest), data) for row, name, digest, data in self._database.read(sql, after, limit)]

    # Writing

    async def add_link(self, repository: str, digest: Digest, size: int) -> None:
        """Let the repository read the blob, or restart the blob's grace period."""
        sql = "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?)"
        await self._database.write(lambda db: db.execute(sql, (repository, digest, size, self._clock())))

    async def mount(self, source: str, repository: str, digest: Digest) -> bool:
        """Copy the link of `source` to `repository`. Return False if `source` has none."""
        sql = (
            "INSERT OR REPLACE INTO links SELECT ?, digest, size, ? FROM links WHERE repository = ? AND digest = ?"
            " RETURNING 1"
        )
        return await self._database.write(
            lambda db: db.execute(sql, (repository, self._clock(), source, digest)).fetchone() is not None
        )

    async def remove_link(self, repository: str, digest: Digest) -> None:
        """Remove a blob from a repository. Raises `NotFoundError`; `FailedPreconditionError` if a manifest needs it."""

        def remove(db: apsw.Connection) -> None:
            if _exists(db, "SELECT 1 FROM children WHERE repository = ? AND child = ?", repository, digest):
                raise FailedPreconditionError(f"a manifest of {repository} needs blob {digest}", reason="BLOB_IN_USE")
            db.execute("DELETE FROM links WHERE repository = ? AND digest = ?", (repository, digest))
            if not db.changes():
                raise _unknown_blob(repository, digest)

        await self._database.write(remove)

    async def drop_links(self, before: float) -> int:
        """Remove the links that no manifest of their repository needs and that are older. Return their number."""
        sql = (
            "DELETE FROM links WHERE touched < ? AND NOT EXISTS (SELECT 1 FROM children"
            " WHERE children.repository = links.repository AND children.child = links.digest)"
        )
        return await self._database.write(lambda db: (db.execute(sql, (before,)), db.changes())[1])

    async def unlinked(self, digests: Iterable[Digest]) -> list[Digest]:
        """Return the digests without a link. Runs on the writer's thread, because they can be many."""
        return await self._database.write(
            lambda db: [digest for digest in digests if not _exists(db, "SELECT 1 FROM links WHERE digest = ?", digest)]
        )

    async def put_manifest(
        self, repository: str, tag: str, manifest: PushedManifest, precondition: Precondition
    ) -> None:
        """Store the manifest, and set `tag` unless it is empty.

        Raises `InvalidError` if the repository lacks listed content or has it with another size, and `ConflictError`.
        """

        def put(db: apsw.Connection) -> None:
            precondition.check(f"{repository}:{tag or manifest.digest}", _current(db, repository, tag, manifest.digest))
            _check_children(db, repository, manifest)
            _insert_manifest(db, repository, manifest, self._clock())
            if tag:
                _set_tag(db, repository, tag, manifest.digest, self._clock())

        await self._database.write(put)

    async def delete_tag(self, repository: str, tag: str) -> Digest:
        """Delete the tag. Return the digest that it named. Raises `NotFoundError`."""
        sql = "DELETE FROM tags WHERE repository = ? AND tag = ? RETURNING digest"
        row = await self._database.write(lambda db: db.execute(sql, (repository, tag)).fetchone())
        if row is None:
            raise _unknown_manifest(repository, tag)
        return Digest(row[0])

    async def delete_manifest(self, repository: str, digest: Digest) -> None:
        """Delete the manifest and all its tags. Raises `NotFoundError`."""

        def delete(db: apsw.Connection) -> None:
            db.execute("DELETE FROM manifests WHERE repository = ? AND digest = ?", (repository, digest))
            if not db.changes():
                raise _unknown_manifest(repository, digest)
            db.execute("DELETE FROM tags WHERE repository = ? AND digest = ?", (repository, digest))
            db.execute("DELETE FROM children WHERE repository = ? AND manifest = ?", (repository, digest))

        await self._database.write(delete)


def _tag(row: tuple[Any, ...]) -> Tag:
    return Tag(row[0], Digest(row[1]), row[2])


def _stored(row: tuple[Any, ...]) -> StoredManifest:
    return StoredManifest(Digest(row[0]), *row[1:])


def _exists(db: apsw.Connection, sql: str, *arguments: str) -> bool:
    return db.execute(sql, arguments).fetchone() is not None


def _current(db: apsw.Connection, repository: str, tag: str, digest: Digest) -> str | None:
    """Return the digest that the target names now. A digest names itself if it exists."""
    if not tag:
        return digest if _exists(db, _HAS_MANIFEST, repository, digest) else None
    row = db.execute("SELECT digest FROM tags WHERE repository = ? AND tag = ?", (repository, tag)).fetchone()
    return row[0] if row else None


def _check_children(db: apsw.Connection, repository: str, manifest: PushedManifest) -> None:
    for blob in manifest.blobs:
        row = db.execute(
            "SELECT size FROM links WHERE repository = ? AND digest = ?", (repository, blob.digest)
        ).fetchone()
        _check_child("blob", repository, blob, row)
    for child in manifest.manifests:
        row = db.execute(
            "SELECT length(content) FROM manifests WHERE repository = ? AND digest = ?", (repository, child.digest)
        ).fetchone()
        _check_child("manifest", repository, child, row)


def _check_child(what: str, repository: str, child: Descriptor, row: tuple[Any, ...] | None) -> None:
    if row is None:
        raise InvalidError(f"{what} {child.digest} not found in {repository}", reason="MANIFEST_BLOB_UNKNOWN")
    if row[0] != child.size:
        raise InvalidError(f"{what} {child.digest} has {row[0]} bytes, not {child.size}", reason="MANIFEST_INVALID")


def _insert_manifest(db: apsw.Connection, repository: str, manifest: PushedManifest, now: float) -> None:
    db.execute(
        "INSERT INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET content = excluded.content",  # a push repairs content that was damaged on disk
        (
            repository,
            manifest.digest,
            manifest.media_type,
            manifest.artifact_type,
            manifest.config_media_type,
            manifest.subject,
            manifest.size,
            now,
            manifest.content,
        ),
    )
    db.executemany(
        "INSERT OR IGNORE INTO children VALUES (?, ?, ?)",
        ((repository, manifest.digest, child.digest) for child in (*manifest.blobs, *manifest.manifests)),
    )


def _set_tag(db: apsw.Connection, repository: str, tag: str, digest: Digest, now: float) -> None:
    db.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)", (repository, tag, digest, now))


def _unknown_blob(repository: str, digest: Digest) -> NotFoundError:
    return NotFoundError(f"blob {digest} not found in {repository}", reason="BLOB_UNKNOWN")


def _unknown_manifest(repository: str, target: str) -> NotFoundError:
    return NotFoundError(f"manifest {target} not found in {repository}", reason="MANIFEST_UNKNOWN")
