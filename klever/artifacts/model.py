"""The operations of `ormb` and of jobs on models: save, tag, push, pull, export, list, remove.

Every function blocks: asynchronous callers use a thread. A reference without a tag or digest means `latest`.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from klever import formats
from klever.api.text import format_time
from klever.artifacts import ormbfile
from klever.artifacts.dialect import Dialect
from klever.artifacts.dialects import DEFAULT, detect
from klever.artifacts.metadata import ModelMetadata
from klever.disk import disk_errors
from klever.errors import AlreadyExistsError, ConflictError, IntegrityError, InvalidError, KleverError, NotFoundError
from klever.limits import DEFAULTS, Limits
from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.progress import Progress, no_progress
from klever.oci.reference import Reference

if TYPE_CHECKING:  # local operations do not load an HTTP client
    from klever.oci.client import RegistryClient

__all__ = [
    "SavedModel", "export", "inspect", "models", "pull", "pull_and_export", "push", "remove", "rewrite", "save", "tag",
]  # fmt: skip

_MODEL: Final = "model"
_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model in a layout.

    `digest` is the content's identity, `size` the bytes of its layers. `manifest` is its descriptor in a registry.
    `newer` is False after a pull that found nothing new.
    """

    reference: Reference
    digest: Digest
    size: int
    layers: int
    metadata: ModelMetadata
    metadata_size: int
    manifest: Descriptor
    newer: bool = True

    @property
    def format(self) -> str:
        return self.metadata.format


def save(
    directory: Path,
    reference: Reference,
    layout: Layout,
    *,
    created: datetime,
    dialect: Dialect = DEFAULT,
    progress: Progress = no_progress,
) -> SavedModel:
    """Pack the model directory (`model/` and `ormbfile.yaml`) into the layout as `reference`.

    Without ormbfile.yaml, detect the format and write the file. `created` is a time with a time zone; the file may name
    another. Raises `InvalidError` naming the file and field, or the files that the format misses.
    """
    name = _tagged(reference)
    metadata = _described(directory, created)
    formats.check_layout(metadata.format, directory / _MODEL)
    with layout.adding():
        manifest = dialect.build(directory, metadata, layout, progress)
        return _record(name, manifest, layout)


def rewrite(reference: Reference, layout: Layout, metadata: ModelMetadata) -> SavedModel:
    """Replace the metadata of a model in the layout. Its content stays."""
    with layout.adding():
        manifest = Manifest.parse(layout.read(layout.resolve(str(_named(reference)))))
        changed = detect(manifest, str(reference)).with_metadata(manifest, metadata, layout)
        return _record(_named(reference), changed, layout)


def tag(source: Reference, target: Reference, layout: Layout) -> SavedModel:
    """Let `target` name the model of `source`. Raises `NotFoundError` if it does not exist."""
    layout.tag(str(_tagged(target)), layout.resolve(str(_named(source))))
    return inspect(target, layout)


def push(
    reference: Reference,
    layout: Layout,
    client: RegistryClient,
    *,
    expected: Digest | None = None,
    progress: Progress = no_progress,
) -> SavedModel:
    """Push a model of the layout to its registry.

    With `expected`, push only while the tag in the registry names that manifest, or already this one, because the
    response to an earlier attempt may have been lost. Raises `ConflictError` if the tag has moved.
    """
    saved = inspect(reference, layout)
    content = layout.read(saved.manifest)
    manifest = Manifest.parse(content)
    blobs = (*manifest.layers, manifest.config)
    total = _Total(sum(blob.size for blob in blobs), progress)
    for blob in blobs:
        try:
            client.put_blob(reference.repository, blob, layout.blob_path(blob.digest), progress=total.part(blob.size))
        except IntegrityError:
            layout.verify(blob.digest)  # finds local damage before the registry rejects the blob
            raise
    media_type = manifest.media_type or mediatypes.IMAGE_MANIFEST
    try:
        client.put_manifest(reference.repository, saved.reference.target, content, media_type, expected=expected)
    except ConflictError:
        if client.get_manifest(reference.repository, saved.reference.target).content != content:
            raise
    return saved


def pull(
    reference: Reference, layout: Layout, client: RegistryClient, *, progress: Progress = no_progress
) -> SavedModel:
    """Pull a model into the layout. Raises `InvalidError`, which names the kind of artifact, if it is not a model."""
    name = _named(reference)
    with layout.adding():
        fetched = client.get_manifest(name.repository, name.target)
        manifest = Manifest.parse(fetched.content, str(name))
        detect(manifest, str(name)).content_layers(manifest)
        blobs = (manifest.config, *manifest.layers)
        total = _Total(sum(blob.size for blob in blobs), progress)
        for blob in blobs:
            _fetch(name, blob, layout, client, total.part(blob.size))
        known = _resolve_or_none(str(name), layout)
        descriptor = layout.put(fetched.media_type, fetched.content)
        layout.tag(str(name), descriptor)
    return _inspect(name, descriptor, layout, newer=known is None or known.digest != descriptor.digest)


def export(
    reference: Reference, layout: Layout, directory: Path, *, replace: bool = False, limits: Limits = DEFAULTS
) -> SavedModel:
    """Write `model/` and `ormbfile.yaml` into `directory`, which is created if it is missing.

    Raises `AlreadyExistsError` if `model/` exists, unless `replace`. Unpacks next to it and moves it into place at the
    end, so that a failure leaves the old files.
    """
    if not replace and (directory / _MODEL).exists():
        raise AlreadyExistsError(f"{directory / _MODEL} already exists", reason="MODEL_EXPORTED")

    def place(unpacked: Path, metadata: ModelMetadata) -> None:
        ormbfile.write_ormbfile(unpacked / ormbfile.NAME, metadata)
        for name in (_MODEL, ormbfile.NAME):
            _replace(unpacked / name, directory / name)

    return _export(reference, layout, directory, place, limits)


def pull_and_export(
    reference: Reference,
    layout: Layout,
    client: RegistryClient,
    directory: Path,
    *,
    relayout: bool = True,
    progress: Progress = no_progress,
) -> SavedModel:
    """Write the model's files into `directory` and replace older ones, as the storage initializer of a serving does.

    With `relayout`, they have the layout of model servers: the version directory `1`, or `directory` itself for MLflow.
    """
    pull(reference, layout, client, progress=progress)
    if not relayout:
        return export(reference, layout, directory, replace=True)

    def place(unpacked: Path, metadata: ModelMetadata) -> None:
        if metadata.format != "MLflow":
            _replace(unpacked / _MODEL, directory / _VERSION)
            return
        for entry in (unpacked / _MODEL).iterdir():
            _replace(entry, directory / entry.name)

    return _export(reference, layout, directory, place, DEFAULTS)


def inspect(reference: Reference, layout: Layout) -> SavedModel:
    """Return the model of `reference` in the layout. Raises `NotFoundError`, or `InvalidError` for another artifact."""
    name = _named(reference)
    return _inspect(name, layout.resolve(str(name)), layout)


def models(layout: Layout) -> list[SavedModel]:
    """Return the models in the layout by name, without damaged ones and other artifacts."""
    found = []
    for name, descriptor in layout.entries():
        try:
            found.append(_inspect(Reference.parse(name), descriptor, layout))
        except KleverError:
            continue  # an entry of another tool
    return sorted(found, key=lambda model: str(model.reference))


def remove(reference: Reference, layout: Layout) -> None:
    """Remove a model, and the content that no other name uses."""
    layout.untag(str(_named(reference)))
    layout.collect()


def _described(directory: Path, created: datetime) -> ModelMetadata:
    path = directory / ormbfile.NAME
    if not directory.is_dir():
        raise NotFoundError(f"{directory} must be a directory")
    metadata = ormbfile.read_ormbfile(path) or ModelMetadata()
    if not metadata.format:
        metadata = dataclasses.replace(metadata, format=formats.detect(directory / _MODEL))
    if not path.exists():
        ormbfile.write_ormbfile(path, metadata)
    return dataclasses.replace(metadata, created=metadata.created or format_time(created))


def _record(name: Reference, manifest: Manifest, layout: Layout) -> SavedModel:
    descriptor = layout.put(manifest.media_type or mediatypes.IMAGE_MANIFEST, manifest.encode())
    layout.tag(str(name), descriptor)
    return _inspect(name, descriptor, layout)


def _inspect(name: Reference, descriptor: Descriptor, layout: Layout, *, newer: bool = True) -> SavedModel:
    manifest = Manifest.parse(layout.read(descriptor), str(name))
    dialect = detect(manifest, str(name))
    return SavedModel(
        reference=name,
        digest=dialect.content(manifest),
        size=sum(layer.size for layer in dialect.content_layers(manifest)),
        layers=len(manifest.layers),
        metadata=dialect.read_metadata(manifest, layout),
        metadata_size=manifest.config.size,
        manifest=descriptor,
        newer=newer,
    )


def _fetch(name: Reference, blob: Descriptor, layout: Layout, client: RegistryClient, progress: Progress) -> None:
    if layout.has(blob):
        progress(blob.size, blob.size)
        return
    with layout.writer(expected=blob.digest, size=blob.size) as writer:
        client.get_blob(name.repository, blob, writer, progress=progress)
        writer.commit()


def _export(
    reference: Reference,
    layout: Layout,
    directory: Path,
    place: Callable[[Path, ModelMetadata], None],
    limits: Limits,
) -> SavedModel:
    saved = inspect(reference, layout)
    manifest = Manifest.parse(layout.read(saved.manifest))
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=directory) as unpacked:
            detect(manifest, str(reference)).unpack(manifest, layout, Path(unpacked), limits)
            place(Path(unpacked), saved.metadata)
    return saved


def _replace(source: Path, target: Path) -> None:
    """Move `source` to `target`. An old target moves next to `source`, whose temporary directory is removed later."""
    old = source.with_name(f"old-{target.name}")
    if target.exists():
        target.rename(old)
    source.rename(target)


def _resolve_or_none(name: str, layout: Layout) -> Descriptor | None:
    try:
        return layout.resolve(name)
    except NotFoundError:
        return None


def _named(reference: Reference) -> Reference:
    return reference if reference.tag or reference.digest else reference.with_tag("latest")


def _tagged(reference: Reference) -> Reference:
    if reference.digest:
        raise InvalidError(
            f"{reference}: give a tag instead of a digest, because the content determines the digest",
            reason="REFERENCE_INVALID",
        )
    return _named(reference)


class _Total:
    """Adds up the progress of several blobs."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._before = 0

    def part(self, size: int) -> Progress:
        before = self._before
        self._before += size
        return lambda done, _: self._progress(before + done, self._total)
