"""A content store on disk: the OCI image layout (image specification 1.1, image-layout.md).

    ROOT/oci-layout  ROOT/index.json  ROOT/blobs/ALGORITHM/HEX
    ROOT/damaged/ALGORITHM-HEX      blobs that no longer matched their digest: the next pull fetches them again

The entries of index.json have the full name of an artifact in the annotation org.opencontainers.image.ref.name. Any
number of processes may use one layout. index.json changes under an exclusive lock. A shared lock (`adding`) protects
content that no entry names yet from collection.
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
    """The layout at `root`, created by the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # Blobs

    def blob_path(self, digest: Digest) -> Path:
        """Return the path of the blob, whether it exists or not."""
        return self.root / "blobs" / digest.algorithm / digest.hex

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the blob exists with its full size and, if it is small enough for `read`, is intact."""
        try:
            if self.blob_path(descriptor.digest).stat().st_size != descriptor.size:
                return False
            if descriptor.size <= MAX_MANIFEST:
                self.read(descriptor)
        except (OSError, KleverError):
            return False
        return True

    def writer(self, *, expected: Digest | None = None, size: int | None = None) -> BlobWriter:
        """Return a verifying writer of one blob, for sha256 unless `expected` has another algorithm."""
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
        """Return a small, verified blob. Raises `NotFoundError`, `IntegrityError`; `InvalidError` beyond `limit`."""
        if descriptor.size > limit:
            raise InvalidError(f"{descriptor.digest} has {descriptor.size} bytes; the limit is {limit}")
        with self.open(descriptor.digest) as file:
            content = file.read(descriptor.size + 1)
        if hashlib.new(descriptor.digest.algorithm, content).hexdigest() != descriptor.digest.hex:
            self._set_aside(descriptor.digest)
            raise IntegrityError(f"blob {descriptor.digest} no longer matches its digest: pull it again")
        return content

    @contextmanager
    def verified(self, digest: Digest) -> Iterator[VerifiedReader]:
        """Read a blob of any size. Raises `NotFoundError`, and at the end `IntegrityError` if it is damaged.

        A damaged blob is quarantined. Its error replaces the `InvalidError` of a reader that could not parse it.
        """
        with self.open(digest) as file, VerifiedReader(file, digest) as source:
            try:
                yield source
            except InvalidError:
                self._verify(source, digest)
                raise
            self._verify(source, digest)

    def verify(self, digest: Digest) -> None:
        """Read and verify a blob. Raises `NotFoundError`, `IntegrityError`."""
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
        with disk_errors(aside), suppress(FileNotFoundError):  # another process has quarantined it
            aside.parent.mkdir(exist_ok=True)
            self.blob_path(digest).replace(aside)

    def open(self, digest: Digest) -> BinaryIO:
        """Open the blob's file, unverified. Raises `NotFoundError`."""
        path = self.blob_path(digest)
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            raise NotFoundError(f"blob {digest} not found in {self.root}") from error

    # Names

    def entries(self) -> list[tuple[str, Descriptor]]:
        """Return (name, descriptor of its manifest) of each entry, in the order of their addition."""
        entries = self._index().get("manifests", [])
        where = f"{self.root}/index.json"
        return [(_name(entry), replace(Descriptor.from_json(entry, where), annotations={})) for entry in entries]

    def resolve(self, name: str) -> Descriptor:
        """Return the manifest of `name`. Raises `NotFoundError`."""
        for known, descriptor in self.entries():
            if known == name:
                return descriptor
        raise NotFoundError(f"{name} not found in {self.root}", reason="MODEL_NOT_CACHED")

    def tag(self, name: str, manifest: Descriptor) -> None:
        """Set `name` to `manifest`."""
        entry = manifest.to_json() | {"annotations": {mediatypes.REF_NAME: name}}
        with self._index_lock():
            index = self._index()
            entries = index.setdefault("manifests", [])
            index["manifests"] = [known for known in entries if _name(known) != name] + [entry]
            self._write_index(index)

    def untag(self, name: str) -> None:
        """Remove `name`. Raises `NotFoundError`."""
        with self._index_lock():
            self.resolve(name)
            index = self._index()
            index["manifests"] = [known for known in index["manifests"] if _name(known) != name]
            self._write_index(index)

    # Collection

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Prevent collection from before the first blob is written until an entry names it."""
        with self._lock("blobs.lock", fcntl.LOCK_SH):
            yield

    def collect(self) -> None:
        """Delete unreferenced and partial blobs, unless blobs are being added: the next call deletes them then."""
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
                continue  # a damaged or foreign manifest references nothing, and must stay removable
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
