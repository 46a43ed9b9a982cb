"""The ORMB dialect (kleveross/ormb, docs/spec-v1alpha1.md), as the original tool writes it.

One config blob, one layer: a gzip'd tar of the regular files, named `model/…`. The manifest carries no mediaType and
no annotations; the order of names and the JSON are Go's, so that equal input gives an equal config.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from klever.artifacts import archive
from klever.artifacts.config import MAX_CONFIG, ModelConfig
from klever.disk import disk_errors
from klever.errors import InvalidError
from klever.limits import Limits
from klever.oci import mediatypes
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.progress import Progress

__all__ = ["build", "content", "read_config", "unpack", "with_config"]

_MODEL: Final = "model"


def build(directory: Path, config: ModelConfig, layout: Layout, progress: Progress) -> Manifest:
    """Store the files of `directory`/model and `config` with their names in it.

    Raises `InvalidError` where there are no files, or where one is no regular file.
    """
    names = list(_files(directory, _MODEL))
    if not names:
        raise InvalidError(f"{directory / _MODEL} holds no files", reason="MODEL_EMPTY")
    with layout.writer() as writer:
        archive.pack(directory, names, writer.write, progress=progress)
        layer = Descriptor(mediatypes.ORMB_LAYER, writer.commit(), writer.written)
    described = config.with_fields({"directoryStructure": names})
    return Manifest(layout.put(mediatypes.ORMB_CONFIG, described.encode()), (layer,))


def read_config(manifest: Manifest, layout: Layout) -> ModelConfig:
    """The metadata; raises `InvalidError` if it is none."""
    return ModelConfig.parse(layout.read(manifest.config, limit=MAX_CONFIG))


def with_config(manifest: Manifest, config: ModelConfig, layout: Layout) -> Manifest:
    """`manifest` with `config` for its own; whatever else it carries stays."""
    descriptor = layout.put(mediatypes.ORMB_CONFIG, config.encode())
    return Manifest(descriptor, manifest.layers, manifest.media_type, manifest.artifact_type, manifest.annotations)


def content(manifest: Manifest) -> Descriptor:
    """The one layer; raises `InvalidError` unless there is exactly one of the right type."""
    if len(manifest.layers) != 1 or manifest.layers[0].media_type != mediatypes.ORMB_LAYER:
        raise InvalidError(f"an ORMB artifact has one layer of {mediatypes.ORMB_LAYER}", reason="NOT_A_MODEL")
    return manifest.layers[0]


def unpack(manifest: Manifest, layout: Layout, target: Path, limits: Limits) -> list[str]:
    """Unpack into the directory `target`; returns the names of the files.

    Raises `InvalidError` for an unsafe or foreign archive, `IntegrityError` if the blob has changed on disk.
    """
    layer = content(manifest)
    with layout.verified(layer.digest) as source:
        names = archive.unpack(source.read, target, limits=limits)
    if not names:
        raise InvalidError("the archive holds no files", reason="MODEL_EMPTY")
    stray = next((name for name in names if not name.startswith(f"{_MODEL}/")), None)
    if stray is not None:
        raise InvalidError(f"archive entry {stray!r} is not below {_MODEL}/", reason="NOT_A_MODEL")
    return names


def _files(directory: Path, name: str) -> Iterator[str]:
    """Names of the files below `name`, in the order of Go's filepath.Walk: each directory's entries by name."""
    if not (directory / name).is_dir():
        raise InvalidError(f"{directory / name} is missing: the model's files belong there", reason="MODEL_EMPTY")
    with disk_errors(directory / name):
        entries = sorted(entry.name for entry in (directory / name).iterdir())
    for entry in entries:
        child = f"{name}/{entry}"
        mode = (directory / child).lstat().st_mode
        if not _is_utf8(entry):
            raise InvalidError(f"{child!r} has a name that is not UTF-8")
        if stat.S_ISDIR(mode):
            yield from _files(directory, child)
        elif stat.S_ISREG(mode):
            yield child
        else:
            raise InvalidError(f"{directory / child} is neither a file nor a directory: put the file itself there")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
