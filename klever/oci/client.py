"""A client of one OCI registry (distribution specification 1.1).

Manifests and tags go through oras; blobs are streamed by `klever.oci.transfer`, verified, and never held in memory. A
client serves one thread at a time. Every call blocks and has a deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import requests

from klever.errors import ConflictError, IntegrityError, NotFoundError, UnavailableError
from klever.oci import mediatypes
from klever.oci.blobs import BlobWriter
from klever.oci.digest import Digest
from klever.oci.encoding import decode_object
from klever.oci.manifest import Descriptor
from klever.oci.progress import Progress, no_progress
from klever.oci.provider import Provider
from klever.oci.redirects import follow
from klever.oci.registries import Endpoint
from klever.oci.responses import response_error
from klever.oci.transfer import Transfer
from klever.oci.transport import Transport

__all__ = ["FetchedManifest", "RegistryClient"]

_ACCEPT: Final = ", ".join((*mediatypes.MANIFESTS, *mediatypes.INDEXES))


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest from the registry, verified against the requested or announced digest."""

    media_type: str
    digest: Digest
    content: bytes


class RegistryClient:
    """A client of `endpoint`, which reads from its mirror first. `timeout` in seconds bounds each wait for data.

    A context manager that closes its connections.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float = 30.0) -> None:
        self._provider = Provider(endpoint, timeout)
        self._transfer = Transfer(Transport(endpoint, self._provider.auth), timeout)
        self._mirror = RegistryClient(endpoint.mirror, timeout=timeout) if endpoint.mirror else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._provider.session.close()
        if self._mirror:
            self._mirror.close()

    def check(self) -> None:
        """Check that the registry answers and accepts the credentials. Raises `UnauthenticatedError` if it does not."""
        self._call("GET", f"{self._provider.base}/v2/", 200)

    def get_manifest(self, repository: str, target: str) -> FetchedManifest:
        """Return the manifest of `target`, a tag or digest. Raises `NotFoundError`."""
        if self._mirror:
            try:
                return self._mirror.get_manifest(repository, target)
            except (NotFoundError, UnavailableError):
                pass  # a mirror may be outdated or down: the registry itself decides
        url = self._manifest_url(repository, target)
        answer = self._call("GET", url, 200, headers={"Accept": _ACCEPT})
        media_type = answer.headers.get("Content-Type", mediatypes.IMAGE_MANIFEST).partition(";")[0].strip()
        return FetchedManifest(media_type, _verified(answer, target), answer.content)

    def get_digest(self, repository: str, target: str) -> Digest | None:
        """Return the current digest of the manifest of `target`; None if it does not exist."""
        url = self._manifest_url(repository, target)
        answer = self._call("HEAD", url, 200, 404, headers={"Accept": _ACCEPT})
        if answer.status_code == 404:
            return None
        digest = answer.headers.get("Docker-Content-Digest")
        return Digest.parse(digest) if digest else self.get_manifest(repository, target).digest

    def put_manifest(
        self, repository: str, target: str, content: bytes, media_type: str, *, expected: Digest | None = None
    ) -> Digest:
        """Store a manifest under `target`, a tag or its own digest. Return its digest.

        With `expected`, store it only while `target` names that manifest. Raises `ConflictError` otherwise. Klever's
        registry compares and stores atomically; other registries do not.
        """
        headers = {"Content-Type": media_type}
        if expected is not None:
            current = self.get_digest(repository, target)
            if current != expected:
                raise ConflictError(f"{repository}:{target} has moved: it names {current or 'nothing'}, not {expected}")
            headers["If-Match"] = f'"{expected}"'
        answer = self._call("PUT", self._manifest_url(repository, target), 201, headers=headers, data=content)
        digest = Digest.of(content)
        told = answer.headers.get("Docker-Content-Digest", digest)
        if told != digest:
            raise IntegrityError(f"{repository}:{target}: the registry stored {told} instead of {digest}")
        return digest

    def delete_manifest(self, repository: str, target: str) -> None:
        """Remove a tag, or a manifest by its digest with all its tags. Raises `NotFoundError`."""
        self._call("DELETE", self._manifest_url(repository, target), 202)

    def tags(self, repository: str) -> list[str]:
        """Return all tags of the repository. Raises `NotFoundError`."""
        return self._provider.tags(repository)

    def repositories(self) -> list[str]:
        """Return all repositories of the registry that the credentials may list."""
        found: list[str] = []
        while True:
            last = f"&last={found[-1]}" if found else ""
            answer = self._call("GET", f"{self._provider.base}/v2/_catalog?n=1000{last}", 200)
            page = decode_object(answer.content, f"the catalog of {self._provider.base}").get("repositories") or []
            found += page
            if not page or "Link" not in answer.headers:
                return found

    def referrers(self, repository: str, subject: Digest, artifact_type: str) -> list[Descriptor]:
        """Return the manifests of one type that refer to `subject`, of the first page of the registry's list.

        It is empty if the registry has no such list (distribution specification 1.0).
        """
        url = f"{self._provider.base}/v2/{repository}/referrers/{subject}?artifactType={quote(artifact_type, safe='')}"
        answer = self._call("GET", url, 200, 404)
        if answer.status_code == 404:
            return []
        listed = decode_object(answer.content, f"the referrers of {repository}@{subject}").get("manifests") or []
        wanted = [one for one in listed if isinstance(one, dict) and one.get("artifactType") == artifact_type]
        return [Descriptor.from_json(one, f"the referrers of {repository}@{subject}") for one in wanted]

    def has_blob(self, repository: str, blob: Descriptor) -> bool:
        """Whether the registry has the blob. Raises `IntegrityError` if it has it with another size."""
        answer = self._call("HEAD", self._blob_url(repository, blob.digest), 200, 404)
        if answer.status_code == 404:
            return False
        size = answer.headers.get("Content-Length", str(blob.size))
        if size != str(blob.size):
            raise IntegrityError(f"{blob.digest}: the registry has {size} bytes, expected {blob.size}")
        return True

    def get_blob(
        self, repository: str, blob: Descriptor, writer: BlobWriter, *, progress: Progress = no_progress
    ) -> None:
        """Stream a blob into `writer`, resuming where a connection broke. The caller commits, which verifies."""
        if self._mirror:
            try:
                return self._mirror.get_blob(repository, blob, writer, progress=progress)
            except (NotFoundError, UnavailableError):
                pass  # `writer` keeps the bytes from the mirror; the registry sends the rest
        return self._transfer.download(self._blob_url(repository, blob.digest), blob, writer, progress)

    def put_blob(self, repository: str, blob: Descriptor, path: Path, *, progress: Progress = no_progress) -> None:
        """Upload the file `path` as `blob` unless the registry has it. Resume where a connection broke."""

        def start() -> str | None:
            if self.has_blob(repository, blob):
                return None
            url = self._provider.url(self._provider.repository(repository).upload_blob_url())
            answer = self._call("POST", url, 202, headers={"Content-Length": "0"})
            return follow(url, answer.headers.get("Location", ""))

        self._transfer.upload(start, blob, path, progress)

    def _call(
        self,
        method: str,
        url: str,
        *statuses: int,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> requests.Response:
        """Return the response if it has one of `statuses`. Raises its error otherwise."""
        answer = self._provider.do_request(url, method, data=data, headers=headers)
        if answer.status_code not in statuses:
            raise response_error(answer.status_code, answer.content, url)
        return answer

    def _manifest_url(self, repository: str, target: str) -> str:
        return self._provider.url(self._provider.repository(repository).manifest_url(target))

    def _blob_url(self, repository: str, digest: Digest) -> str:
        return self._provider.url(self._provider.repository(repository).get_blob_url(digest))


def _verified(answer: requests.Response, target: str) -> Digest:
    """Return the digest of the response's body. Raises `IntegrityError` unless it was requested or announced."""
    announced = answer.headers.get("Docker-Content-Digest", "")
    wanted = target if ":" in target else announced
    if not wanted:
        return Digest.of(answer.content)
    digest = Digest.parse(wanted)
    hasher = digest.hasher()
    hasher.update(answer.content)
    if Digest.of_hash(hasher) != digest:
        raise IntegrityError(f"{answer.url}: the manifest does not match its digest {digest}")
    return digest
