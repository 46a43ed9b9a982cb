"""The ORMB dialect (kleveross/ormb, docs/spec-v1alpha1.md), as the original tool writes it.

One config blob and one layer: a gzip'd tar of the regular files, named `model/…`. The manifest has no mediaType and no
annotations. The order of names and the JSON are Go's, so that equal input gives an equal config.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from klever.artifacts import archive, document
from klever.artifacts.dialect import Dialect
from klever.artifacts.metadata import ModelMetadata
from klever.disk import disk_errors
from klever.errors import InvalidError
from klever.limits import Limits
from klever.oci.encoding import encode_json
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.progress import Progress

__all__ = ["CONFIG", "LAYER", "Ormb"]

CONFIG: Final = "application/vnd.caicloud.model.config.v1alpha1+json"
LAYER: Final = "application/tar+gzip"

_MODEL: Final = "model"


class Ormb(Dialect):
    """Kleveross ORMB, spec v1alpha1."""

    name = "ormb"
    config_media_types = (CONFIG,)

    def decode(self, config: bytes) -> ModelMetadata:
        return document.decode(document.parse(config))

    def encode(self, metadata: ModelMetadata, previous: bytes = b"") -> bytes:
        known = document.parse(previous) if previous else {}
        if previous and document.decode(known) == metadata:
            return previous
        return encode_json(document.encode(metadata, known))

    def content_layers(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        if len(manifest.layers) != 1 or manifest.layers[0].media_type != LAYER:
            raise InvalidError(
                f"an ORMB artifact must have exactly one layer, of media type {LAYER}", reason="NOT_A_MODEL"
            )
        return manifest.layers

    def build(self, directory: Path, metadata: ModelMetadata, layout: Layout, progress: Progress) -> Manifest:
        names = list(_files(directory, _MODEL))
        if not names:
            raise InvalidError(f"{directory / _MODEL} contains no files", reason="MODEL_EMPTY")
        with layout.writer() as writer:
            archive.pack(directory, names, writer.write, progress=progress)
            layer = Descriptor(LAYER, writer.commit(), writer.written)
        return Manifest(layout.put(CONFIG, self.encode(replace(metadata, files=tuple(names)))), (layer,))

    def unpack(self, manifest: Manifest, layout: Layout, target: Path, limits: Limits) -> list[str]:
        (layer,) = self.content_layers(manifest)
        with layout.verified(layer.digest) as source:
            names = archive.unpack(source.read, target, limits=limits)
        if not names:
            raise InvalidError("the archive contains no files", reason="MODEL_EMPTY")
        stray = next((name for name in names if not name.startswith(f"{_MODEL}/")), None)
        if stray is not None:
            raise InvalidError(f"archive entry {stray!r} must be below {_MODEL}/", reason="NOT_A_MODEL")
        return names


def _files(directory: Path, name: str) -> Iterator[str]:
    """Yield the files below `name` in the order of Go's filepath.Walk: the entries of each directory by name."""
    if not (directory / name).is_dir():
        raise InvalidError(f"{directory / name} is missing: put the model's files there", reason="MODEL_EMPTY")
    with disk_errors(directory / name):
        entries = sorted(entry.name for entry in (directory / name).iterdir())
    for entry in entries:
        child = f"{name}/{entry}"
        mode = (directory / child).lstat().st_mode
        if not _is_utf8(entry):
            raise InvalidError(f"the name of {child!r} must be UTF-8: rename the file")
        if stat.S_ISDIR(mode):
            yield from _files(directory, child)
        elif stat.S_ISREG(mode):
            yield child
        else:
            raise InvalidError(f"{directory / child} must be a file or a directory: replace a link with its target")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
