"""A content store on disk: the OCI image layout (image specification 1.1, image-layout.md).

    ROOT/oci-layout  ROOT/index.json  ROOT/blobs/ALGORITHM/HEX
    ROOT/damaged/ALGORITHM-HEX      blobs that did not match their digest any more: the next pull fetches them again

The entries of index.json carry the full name of an artifact in the annotation org.opencontainers.image.ref.name.
Any number of processes may use one layout: index.json changes under an exclusive lock, and content that no entry
names yet is kept from collection by a shared lock (`adding`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from klever.disk import disk_errors, fsync, replace_file
from klever.errors import IntegrityError, InvalidError, KleverError, NotFoundError
from klever.oci import mediatypes
from klever.oci.blobs import BlobWriter, VerifiedReader
from klever.oci.digest import Digest
from klever.oci.encoding import decode_object, encode_json
from klever.oci.manifest import MAX_MANIFEST, Descriptor, Manifest

__all__ = ["Layout"]

_VERSION: Final = b'{"imageLayoutVersion":"1.0.0"}'


class Layout:
    """The layout at `root`, made on the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # Blobs

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob is, if it is there."""
        return self.root / "blobs" / digest.algorithm / digest.hex

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there in its full size and, if it is small enough for `read`, intact."""
        try:
            if self.blob_path(descriptor.digest).stat().st_size != descriptor.size:
                return False
            if descriptor.size <= MAX_MANIFEST:
                self.read(descriptor)
        except (OSError, KleverError):
            return False
        return True

    def writer(self, *, expected: Digest | None = None, size: int | None = None) -> BlobWriter:
        """A verifying writer of one blob; sha256 unless `expected` is of another algorithm."""
        directory = self.root / "blobs" / (expected.algorithm if expected else "sha256")
        if not directory.is_dir():
            with disk_errors(directory):
                directory.mkdir(parents=True, exist_ok=True)
                fsync(directory.parent)
        return BlobWriter(directory, expected=expected, size=size)

    def put(self, media_type: str, content: bytes) -> Descriptor:
        """Store a small blob."""
        descriptor = Descriptor.of(media_type, content)
        if not self.has(descriptor):
            with self.writer(expected=descriptor.digest, size=descriptor.size) as writer:
                writer.write(content)
                writer.commit()
        return descriptor

    def read(self, descriptor: Descriptor, *, limit: int = MAX_MANIFEST) -> bytes:
        """A small blob, verified; raises `NotFoundError`, `IntegrityError`, or `InvalidError` beyond `limit` bytes."""
        if descriptor.size > limit:
            raise InvalidError(f"{descriptor.digest} has {descriptor.size} bytes, more than the {limit} allowed here")
        with self.open(descriptor.digest) as file:
            content = file.read(descriptor.size + 1)
        if hashlib.new(descriptor.digest.algorithm, content).hexdigest() != descriptor.digest.hex:
            self._set_aside(descriptor.digest)
            raise IntegrityError(f"blob {descriptor.digest} does not match its digest any more: pull it again")
        return content

    @contextmanager
    def verified(self, digest: Digest) -> Iterator[VerifiedReader]:
        """Read a blob of any size; raises `NotFoundError`, and at the end `IntegrityError` if it is damaged.

        A damaged blob is set aside. Its error comes in place of the `InvalidError` of those who made nothing of it.
        """
        with self.open(digest) as file, VerifiedReader(file, digest) as source:
            try:
                yield source
            except InvalidError:
                self._verify(source, digest)
                raise
            self._verify(source, digest)

    def verify(self, digest: Digest) -> None:
        """Read a blob; raises `NotFoundError`, `IntegrityError`."""
        with self.verified(digest):
            pass

    def _verify(self, source: VerifiedReader, digest: Digest) -> None:
        try:
            source.verify()
        except IntegrityError:
            self._set_aside(digest)
            raise

    def _set_aside(self, digest: Digest) -> None:
        aside = self.root / "damaged" / f"{digest.algorithm}-{digest.hex}"
        with disk_errors(aside), suppress(FileNotFoundError):  # somebody else has set it aside
            aside.parent.mkdir(exist_ok=True)
            self.blob_path(digest).replace(aside)

    def open(self, digest: Digest) -> BinaryIO:
        """The blob's file, unverified; raises `NotFoundError`."""
        path = self.blob_path(digest)
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            raise NotFoundError(f"{digest} is not in {self.root}") from error

    # Names

    def entries(self) -> list[tuple[str, Descriptor]]:
        """(name, descriptor of its manifest), in the order they were added."""
        entries = self._index().get("manifests", [])
        where = f"{self.root}/index.json"
        return [(_name(entry), replace(Descriptor.from_json(entry, where), annotations={})) for entry in entries]

    def resolve(self, name: str) -> Descriptor:
        """The manifest that `name` names; raises `NotFoundError`."""
        for known, descriptor in self.entries():
            if known == name:
                return descriptor
        raise NotFoundError(f"{name} is not in {self.root}", reason="MODEL_NOT_CACHED")

    def tag(self, name: str, manifest: Descriptor) -> None:
        """Let `name` name `manifest`, instead of what it named before."""
        entry = manifest.to_json() | {"annotations": {mediatypes.REF_NAME: name}}
        with self._index_lock():
            index = self._index()
            entries = index.setdefault("manifests", [])
            index["manifests"] = [known for known in entries if _name(known) != name] + [entry]
            self._write_index(index)

    def untag(self, name: str) -> None:
        """Forget `name`; raises `NotFoundError`."""
        with self._index_lock():
            self.resolve(name)
            index = self._index()
            index["manifests"] = [known for known in index["manifests"] if _name(known) != name]
            self._write_index(index)

    # Collection

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Hold off collection from before the first blob is written until a name names it."""
        with self._lock("blobs.lock", fcntl.LOCK_SH):
            yield

    def collect(self) -> None:
        """Delete blobs that no name leads to, and partial ones; leaves it to the next call while any are added."""
        try:
            with self._lock("blobs.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                wanted = {self.blob_path(digest) for digest in self._reachable()}
                for path in self.root.glob("blobs/*/*"):
                    if path not in wanted:
                        path.unlink(missing_ok=True)
        except BlockingIOError:
            return

    def _reachable(self) -> Iterator[Digest]:
        for _, descriptor in self.entries():
            yield descriptor.digest
            try:
                manifest = Manifest.parse(self.read(descriptor))
            except KleverError:
                continue  # a damaged or foreign manifest: it leads nowhere, and removing it must stay possible
            yield manifest.config.digest
            yield from (layer.digest for layer in manifest.layers)

    # index.json

    def _index(self) -> dict[str, Any]:
        path = self.root / "index.json"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": mediatypes.IMAGE_INDEX, "manifests": []}
        return decode_object(content, str(path))

    def _write_index(self, index: dict[str, Any]) -> None:
        with disk_errors(self.root):
            version = self.root / "oci-layout"
            if not version.exists():
                replace_file(version, _VERSION)
            replace_file(self.root / "index.json", encode_json(index))
            fsync(self.root)

    @contextmanager
    def _index_lock(self) -> Iterator[None]:
        with self._lock("index.lock", fcntl.LOCK_EX):
            yield

    @contextmanager
    def _lock(self, name: str, operation: int) -> Iterator[None]:
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, operation)
            yield
        finally:
            os.close(handle)


def _name(entry: object) -> str:
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    name = annotations.get(mediatypes.REF_NAME, "") if isinstance(annotations, dict) else ""
    return name if isinstance(name, str) else ""
