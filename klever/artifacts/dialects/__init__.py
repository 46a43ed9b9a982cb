"""Dialects: the ways in which tools pack a model as an artifact. One module each, and a row in `DIALECTS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from klever.artifacts.config import ModelConfig
from klever.artifacts.dialects import ormb
from klever.errors import InvalidError
from klever.limits import Limits
from klever.oci import mediatypes
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.progress import Progress

__all__ = ["DIALECTS", "Dialect", "dialect_of"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect, recognised by the media type of its config.

    `build(directory, config, layout, progress)` stores a model directory's content and returns its manifest.
    `read_config(manifest, layout)` gives the metadata, `with_config(manifest, config, layout)` the manifest of the
    same content under other metadata. `content(manifest)` is the descriptor by which content is known: versions that
    differ in metadata only share it. `unpack(manifest, layout, target, limits)` writes the files, `model/…`.
    """

    name: str
    config_media_type: str
    build: Callable[[Path, ModelConfig, Layout, Progress], Manifest]
    read_config: Callable[[Manifest, Layout], ModelConfig]
    with_config: Callable[[Manifest, ModelConfig, Layout], Manifest]
    content: Callable[[Manifest], Descriptor]
    unpack: Callable[[Manifest, Layout, Path, Limits], list[str]]


DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.config_media_type: dialect
    for dialect in (
        Dialect(
            "ormb", mediatypes.ORMB_CONFIG, ormb.build, ormb.read_config, ormb.with_config, ormb.content, ormb.unpack
        ),
    )
}

# What else turns up in a registry, to say what it is.
_OTHERS: Final = (
    ("application/vnd.cncf.model.", "a ModelPack artifact"),
    ("application/vnd.cnai.model.", "a ModelPack artifact of an early draft"),
    ("application/vnd.kitops.modelkit.", "a KitOps ModelKit"),
    ("application/vnd.oci.image.config.", "a container image"),
    ("application/vnd.docker.container.image.", "a container image"),
    ("application/vnd.cncf.helm.config.", "a Helm chart"),
)


def dialect_of(manifest: Manifest, what: str) -> Dialect:
    """The dialect that wrote `manifest`; raises `InvalidError` that says what `what` is instead of a model."""
    media_type = manifest.config.media_type
    dialect = DIALECTS.get(media_type)
    if dialect is not None:
        return dialect
    kind = next((kind for prefix, kind in _OTHERS if media_type.startswith(prefix)), "no model that Klever knows")
    raise InvalidError(
        f"{what} is {kind} (config media type {media_type or 'missing'}); models packed by ormb can be used here",
        reason="NOT_A_MODEL",
    )
