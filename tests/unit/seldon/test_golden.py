"""The manifests of users, as Servings, with what a Serving does not have of them.

`UPDATE_GOLDEN=1 pytest tests/unit/seldon/test_golden.py` writes the files.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from klever.api.documents import read_documents
from klever.api.kinds import SERVING
from klever.seldon.deployment import import_deployment
from klever.store.validation import SchemaAdmission

TESTS = Path(__file__).parents[2]
MANIFESTS = sorted((TESTS / "data" / "seldon").glob("*.yaml"))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_a_serving(manifest: Path) -> None:
    shown = []
    for _, document in read_documents(manifest.read_bytes(), manifest.name):
        for item in document.get("items", [document]):
            serving, warnings = import_deployment(item)
            SchemaAdmission().admit(SERVING, serving, None, "")
            shown.append("".join(f"# {warning}\n" for warning in warnings) + yaml.safe_dump(serving, sort_keys=False))
    golden = TESTS / "golden" / "seldon" / manifest.name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text("---\n".join(shown))
    assert "---\n".join(shown) == golden.read_text()
