"""The dialect toy: one raw layer per file, as ModelPack has it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from klever.artifacts import document
from klever.artifacts.dialect import Dialect
from klever.artifacts.metadata import ModelMetadata
from klever.errors import InvalidError
from klever.formats.files import check_path
from klever.limits import Limits
from klever.oci import mediatypes
from klever.oci.encoding import decode_object
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.progress import Progress

__all__ = ["TOY", "ToyDialect"]

CONFIG = "application/vnd.toy.model.config.v1+json"
LAYER = "application/vnd.toy.model.file.v1"
PATH = "toy.path"


class ToyDialect(Dialect):
    """A layer names its file in an annotation. The config has the metadata in the field `model`."""

    name = "toy"
    config_media_types = (CONFIG,)

    def decode(self, config: bytes) -> ModelMetadata:
        return document.decode(decode_object(config, "toy config").get("model", {}))

    def encode(self, metadata: ModelMetadata, previous: bytes = b"") -> bytes:
        known: dict[str, Any] = json.loads(previous) if previous else {}
        if previous and self.decode(previous) == metadata:
            return previous
        return json.dumps(known | {"model": document.encode(metadata)}).encode()

    def content_layers(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        if not manifest.layers or any(PATH not in layer.annotations for layer in manifest.layers):
            raise InvalidError("a toy artifact has one layer per file")
        return manifest.layers

    def build(self, directory: Path, metadata: ModelMetadata, layout: Layout, progress: Progress) -> Manifest:
        layers = []
        for path in sorted(path for path in (directory / "model").rglob("*") if path.is_file()):
            descriptor = layout.put(LAYER, path.read_bytes())
            layers.append(replace(descriptor, annotations={PATH: str(path.relative_to(directory))}))
            progress(descriptor.size, descriptor.size)
        return Manifest(layout.put(CONFIG, self.encode(metadata)), tuple(layers), mediatypes.IMAGE_MANIFEST, "toy")

    def unpack(self, manifest: Manifest, layout: Layout, target: Path, limits: Limits) -> list[str]:
        files = {layer.annotations[PATH]: layer for layer in self.content_layers(manifest)}
        limits.check("model_files", len(files), "the artifact")
        limits.check("model_bytes", sum(layer.size for layer in files.values()), "the artifact")
        for name, layer in files.items():
            check_path(name, f"layer {layer.digest}")  # whoever pushed the artifact chose the names
            if not name.startswith("model/"):
                raise InvalidError(f"layer {layer.digest} is the file {name!r}: must be below model/")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            with layout.verified(layer.digest) as source, (target / name).open("wb") as file:
                while chunk := source.read(1 << 20):
                    file.write(chunk)
        return list(files)


TOY = ToyDialect()
