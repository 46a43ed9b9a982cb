"""The records of the index: links, manifests, tags; and the precondition of a write."""

from __future__ import annotations

from dataclasses import dataclass

from klever.errors import ConflictError
from klever.oci.digest import Digest

__all__ = ["Link", "Precondition", "StoredManifest", "Tag"]


@dataclass(frozen=True, slots=True)
class Link:
    """A repository's right to read a blob of `size` bytes, last requested or pushed at `touched` (Unix seconds)."""

    size: int
    touched: float


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest of a repository. `size` includes the content that it lists; `pushed` is in Unix seconds."""

    digest: Digest
    media_type: str
    artifact_type: str
    config_media_type: str
    size: int
    pushed: float
    content: bytes


@dataclass(frozen=True, slots=True)
class Tag:
    """A name for a manifest, last set at `pushed` (Unix seconds)."""

    name: str
    digest: Digest
    pushed: float


@dataclass(frozen=True, slots=True)
class Precondition:
    """The precondition of a write: the target names `expected` or, with `absent`, does not exist."""

    expected: Digest | None = None
    absent: bool = False

    def check(self, target: str, current: str | None) -> None:
        """Raise `ConflictError` unless it holds for `current`, the digest that `target` names."""
        if self.absent and current is not None:
            raise ConflictError(f"{target} already exists: it names {current}", reason="TAG_EXISTS")
        if self.expected is not None and current != self.expected:
            raise ConflictError(
                f"{target} has moved: it names {current or 'nothing'}, not {self.expected}", reason="TAG_MOVED"
            )
