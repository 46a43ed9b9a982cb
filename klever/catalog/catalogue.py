"""The contract of a catalogue: registries as projects, models and versions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from klever.api.text import parse_time
from klever.artifacts.metadata import ModelMetadata
from klever.oci.digest import Digest
from klever.oci.reference import Reference

__all__ = ["Catalogue", "Push", "Version"]

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Version:
    """One artifact that is a model. `reference` is as the caller gave it; `size` is in bytes, config and layers.

    `config_bytes` is the size of the config alone. `content` is the identity of the content: versions that differ only
    in metadata have the same. `tensors` are the numbers of inputs and outputs of the signature, None without one.
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
        """The version without the long parts of its metadata: signature, metrics, hyperparameters, files."""
        metadata = replace(self.metadata, signature=None, metrics=(), hyper_parameters=(), files=())
        return replace(self, metadata=metadata)

    @property
    def pinned(self) -> Reference:
        """The reference that always names exactly this version."""
        return self.reference.with_digest(self.digest)

    @property
    def created(self) -> datetime:
        """The time of creation in the metadata, the beginning of time if it names none."""
        try:
            return parse_time(self.metadata.created)
        except ValueError:
            return _NEVER


@dataclass(frozen=True, slots=True)
class Push:
    """A tag that names a manifest. `new` is False if it was there when the catalogue began to watch.

    The media types are empty if the catalogue would have to read the manifest for them.
    """

    repository: str
    tag: str
    digest: Digest
    media_type: str = ""
    config_media_type: str = ""
    new: bool = True


class Catalogue(ABC):
    """Reads, tags and deletes artifacts in registries.

    A repository is `PROJECT/MODEL` without a host, in the platform's registry. A `Reference` with a host names a
    version in another registry, which `resolve` and `tag` reach as well. Listings hold summaries of models only; a
    version whose metadata cannot be read is None in them.

    Calls raise `NotFoundError` (reason MODEL_NOT_FOUND), `InvalidError` for an artifact that is not a model or is
    beyond the platform's limits, `UnavailableError` if the registry does not answer. They do not block the event loop.
    """

    @abstractmethod
    async def projects(self) -> dict[str, int]:
        """Return the number of models of each project that has any."""

    @abstractmethod
    async def models(self, project: str = "") -> list[str]:
        """Return the repositories in order, those of one project if it is given."""

    @abstractmethod
    async def count(self, repository: str) -> int:
        """Return the number of tags of a repository; 0 if it is unknown."""

    @abstractmethod
    async def versions(
        self, repository: str, *, containing: str = "", offset: int, limit: int
    ) -> tuple[list[Version | None], bool]:
        """Return at most `limit` versions in the order of their tags, from `offset` on, and whether more follow.

        Only tags that contain the text `containing` count. A page is shorter if its metadata is large, but never empty.
        """

    @abstractmethod
    async def versions_by_time(self, repository: str, *, containing: str = "") -> list[Version]:
        """Return all versions, the oldest first; raises `InvalidError` beyond the limit `versions_by_time`."""

    @abstractmethod
    async def latest(self, repository: str) -> Version | None:
        """Return the newest version by time of creation; None if the repository holds no model."""

    @abstractmethod
    async def resolve(self, reference: Reference) -> Version:
        """Return the version, with its metadata, that a tag or digest names now."""

    @abstractmethod
    async def tag(self, version: Version, tag: str, expected: Digest | None) -> None:
        """Let `tag` name the version. With `expected`, raises `ConflictError` if the tag names another digest."""

    @abstractmethod
    async def delete(self, reference: Reference, *, force: bool = False) -> None:
        """Delete a tag, or a manifest by its digest together with all its tags.

        Unless it is forced, the platform's registry raises `FailedPreconditionError` (reason VERSION_IN_USE) for a
        version that a Serving uses.
        """

    @abstractmethod
    def contents(self) -> AsyncIterator[Digest]:
        """Yield the content of each version that a tag names now. Leave out versions that cannot be read."""

    @abstractmethod
    def notifications(self) -> AsyncIterator[Push]:
        """Yield each version that exists, then each push. Never ends by itself. One reader at a time."""
