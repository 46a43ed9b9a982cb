"""The contract of a catalogue, which presents registries as projects, models and versions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from klever.api.text import parse_time
from klever.artifacts.metadata import ModelMetadata
from klever.oci.digest import Digest
from klever.oci.reference import Reference

__all__ = ["MAX_ATTACHMENTS", "MAX_ATTACHMENT_BYTES", "Attachment", "Catalogue", "Push", "Version"]

MAX_ATTACHMENTS: Final = 50
"""The most documents of one type that are read of a version."""
MAX_ATTACHMENT_BYTES: Final = 2 << 20
"""The most bytes of these documents together."""

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Version:
    """One artifact that is a model. `reference` is the caller's; `size` is that of config and layers in bytes.

    `config_bytes` is the size of the config. `content` is the identity of the content, which is equal for versions that
    differ only in metadata. `tensors` are the numbers of inputs and outputs of the signature, None without one.
    """

    reference: Reference
    digest: Digest
    content: Digest
    size: int
    metadata: ModelMetadata
    dialect: str
    config_bytes: int = 0
    tensors: tuple[int, int] | None = None

    @property
    def summary(self) -> Version:
        """Return the version without the long parts of its metadata: signature, metrics, hyperparameters, files."""
        metadata = replace(self.metadata, signature=None, metrics=(), hyper_parameters=(), files=())
        return replace(self, metadata=metadata)

    @property
    def pinned(self) -> Reference:
        """Return the reference that always names exactly this version."""
        return self.reference.with_digest(self.digest)

    @property
    def created(self) -> datetime:
        """The creation time in the metadata; the earliest time if there is none."""
        try:
            return parse_time(self.metadata.created)
        except ValueError:
            return _NEVER


@dataclass(frozen=True, slots=True)
class Push:
    """A tag that names a manifest. `new` is False if it existed when the watch began.

    The media types are empty if the catalogue has not read the manifest.
    """

    repository: str
    tag: str
    digest: Digest
    media_type: str = ""
    config_media_type: str = ""
    new: bool = True


@dataclass(frozen=True, slots=True)
class Attachment:
    """A document that refers to a version (OCI `subject`), and the annotations of its manifest."""

    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)


class Catalogue(ABC):
    """Reads, tags and deletes artifacts in registries.

    A repository is `PROJECT/MODEL` without a host, in the platform's registry. A `Reference` with a host names a
    version in another registry, for `resolve` and `tag`. Lists contain summaries of models only. A version whose
    metadata cannot be read is None in them.

    Calls raise `NotFoundError` (reason MODEL_NOT_FOUND), `InvalidError` for an artifact that is not a model or exceeds
    the platform's limits, and `UnavailableError` if the registry does not answer. They do not block the event loop.
    """

    @abstractmethod
    async def projects(self) -> dict[str, int]:
        """Return the number of models of each project that has any."""

    @abstractmethod
    async def models(self, project: str = "") -> list[str]:
        """Return the repositories in order, or those of one project."""

    @abstractmethod
    async def count(self, repository: str) -> int:
        """Return the number of tags of a repository; 0 if it is unknown."""

    @abstractmethod
    async def versions(
        self, repository: str, *, containing: str = "", offset: int, limit: int
    ) -> tuple[list[Version | None], bool]:
        """Return at most `limit` versions in the order of their tags, from `offset` on, and whether more follow.

        Includes only tags that contain the text `containing`. A page with large metadata is shorter, but never empty.
        """

    @abstractmethod
    async def versions_by_time(self, repository: str, *, containing: str = "") -> list[Version]:
        """Return all versions, oldest first. Raises `InvalidError` beyond the limit `versions_by_time`."""

    @abstractmethod
    async def latest(self, repository: str) -> Version | None:
        """Return the newest version by creation time; None if the repository has no model."""

    @abstractmethod
    async def resolve(self, reference: Reference) -> Version:
        """Return the version that a tag or digest names now, with its metadata."""

    @abstractmethod
    async def attachments(self, version: Version, artifact_type: str) -> list[Attachment]:
        """Return the documents of one type that refer to a version, by the digests of their manifests.

        There are at most `MAX_ATTACHMENTS`, of at most `MAX_ATTACHMENT_BYTES` together: further ones are left out, as
        are documents that are damaged or gone, and those of a registry that does not list what refers to a manifest.
        """

    @abstractmethod
    async def tag(self, version: Version, tag: str, expected: Digest | None) -> None:
        """Set `tag` to the version. With `expected`, raises `ConflictError` if the tag names another digest."""

    @abstractmethod
    async def delete(self, reference: Reference, *, force: bool = False) -> None:
        """Delete a tag, or a manifest by its digest together with all its tags.

        Unless it is forced, the platform's registry raises `FailedPreconditionError` (reason VERSION_IN_USE) for a
        version that a Serving uses.
        """

    @abstractmethod
    async def check_unused(self, reference: Reference) -> None:
        """Raise the errors of a `delete` that is not forced. Delete nothing."""

    @abstractmethod
    def contents(self) -> AsyncIterator[Digest]:
        """Yield the content of each version that a tag names now, except versions that cannot be read."""

    @abstractmethod
    def changes(self) -> AsyncIterator[str]:
        """Yield an empty text at once, then the repository of each push and deletion. Never ends by itself.

        An empty text means that any repository may have changed.
        """

    @abstractmethod
    def notifications(self) -> AsyncIterator[Push]:
        """Yield each existing version, then each push. Never ends by itself. Supports one reader at a time."""
