from __future__ import annotations

import pytest

from klever.artifacts.metadata import ModelMetadata
from klever.catalog.catalogue import Version
from klever.controllers.extraction import Extraction
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from tests.unit.controllers.registry import READ

MANIFEST, CONTENT = (Digest.parse(f"sha256:{digit * 64}") for digit in "12")
PINNED = f"team/m@{MANIFEST}"
NEW_TAG = f"team/m:signature-{'2' * 12}"


@pytest.mark.parametrize(
    ("reference", "read", "model", "target"),
    [
        ("team/m:v1", False, "team/m:v1", None),
        ("team/m:v1", True, PINNED, None),
        (f"team/m@{MANIFEST}", True, PINNED, None),
        (f"team/m:v1@{MANIFEST}", True, PINNED, None),
        (f"team/m@{MANIFEST}", False, PINNED, NEW_TAG),
        (f"team/m:v1@{MANIFEST}", False, PINNED, NEW_TAG),
    ],
)
def test_a_content_that_is_named_by_its_digest_is_the_one_that_is_read(
    reference: str, *, read: bool, model: str, target: str | None
) -> None:
    """A tag that has moved would have another content inspected, again and again, or served in its place."""
    metadata = ModelMetadata(format="ONNX", signature=READ if read else None)
    version = Version(Reference.parse(reference), MANIFEST, CONTENT, 1, metadata, "ormb")
    spec = Extraction(version, ("team",)).body("team")["spec"]
    assert (spec["model"], spec.get("desiredTag")) == (model, target)
