"""A catalogue of one tag, and of every digest that it ever named."""

from __future__ import annotations

from dataclasses import replace

from klever.artifacts.metadata import ModelMetadata
from klever.catalog.catalogue import Version
from klever.errors import NotFoundError
from klever.formats import Signature
from klever.oci.digest import Digest
from klever.oci.reference import Reference

READ = Signature(layers={"Add": 1})


class Registry:
    """What the tag names now."""

    def __init__(self) -> None:
        self.version: Version | None = None
        self.by_digest: dict[Digest, Version] = {}

    def push(
        self, digest: str, content: str = "content", *, signature: Signature | None = None, format_: str = "ONNX"
    ) -> Digest:
        metadata = ModelMetadata(format=format_, signature=signature)
        reference = Reference.parse("team/digits:v1")
        version = Version(reference, Digest.of(digest.encode()), Digest.of(content.encode()), 1, metadata, "ormb")
        self.version = self.by_digest[version.digest] = version
        return version.digest

    async def resolve(self, reference: Reference) -> Version:
        version = self.by_digest.get(reference.digest) if reference.digest else self.version
        if version is None:
            raise NotFoundError("it is not there")
        return replace(version, reference=reference)
