"""The metadata of a model, the same for every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from klever.formats import Signature

__all__ = ["SOURCE_LABEL", "GitSource", "ModelMetadata"]

SOURCE_LABEL: Final = "kleveross.io/converted-from"
"""The label of a converted version: the manifest digest of its source, in the same repository."""


@dataclass(frozen=True, slots=True)
class GitSource:
    """The commit of a source."""

    repository: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """The metadata of a model. A field that the author left out is empty.

    `created` is an RFC 3339 time; the original ormb writes `0001-01-01T00:00:00Z` for an unknown one. `metrics` and
    `hyper_parameters` are (name, value) pairs of text. `signature` is None until a job has read it. `files` names
    the model's files, `model/…`, if the dialect records them.
    """

    author: str = ""
    created: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    gpu_type: str = ""
    framework: str = ""
    metrics: tuple[tuple[str, str], ...] = ()
    hyper_parameters: tuple[tuple[str, str], ...] = ()
    signature: Signature | None = None
    training: GitSource = GitSource()
    dataset: GitSource = GitSource()
    files: tuple[str, ...] = ()
