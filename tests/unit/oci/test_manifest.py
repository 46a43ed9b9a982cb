"""Manifests: with and without mediaType, and what is none."""

from __future__ import annotations

import pytest

from klever.artifacts.dialects import ormb
from klever.errors import InvalidError
from klever.oci import mediatypes
from klever.oci.manifest import Descriptor, Manifest

LAYER = Descriptor.of(ormb.LAYER, b"layer")
CONFIG = Descriptor.of(ormb.CONFIG, b"{}")


@pytest.mark.parametrize(
    "manifest",
    [
        Manifest(CONFIG, (LAYER,)),
        Manifest(CONFIG, (LAYER, LAYER), mediatypes.IMAGE_MANIFEST, "application/x", {"a": "<&>"}),
        Manifest(CONFIG, ()),
    ],
)
def test_round_trip(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.encode()) == manifest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"schemaVersion":1}', "must be an OCI image manifest"),
        (b'{"schemaVersion":2,"mediaType":"application/x"}', "must be an OCI image manifest"),
        (b'{"schemaVersion":2,"manifests":[]}', "an index of several artifacts"),
        (b'{"schemaVersion":2,"layers":[]}', "config must be a descriptor"),
        (b'{"schemaVersion":2,"layers":{}}', "layers must be a list"),
        (b'{"schemaVersion":2,"layers":[{"digest":"sha256:00","size":1}],"config":{}}', "config.size|layers"),
        (Manifest(CONFIG, (LAYER,)).encode().replace(b'"size":5', b'"size":-5'), r"layers\[0\].size"),
    ],
)
def test_an_invalid_manifest_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Manifest.parse(content)
