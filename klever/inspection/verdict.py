"""The record of an inspection, small enough for a task's outcome and for an object in the store."""

from __future__ import annotations

import json
from typing import Any, Final

from klever.inspection import VERSION
from klever.inspection.inspector import Inspection

__all__ = ["MAX_SPEC", "inspection_spec"]

MAX_SPEC: Final = 2500
"""The largest record in bytes of JSON. An outcome has 4096, with the task's message."""
_MAX_LISTED: Final = 20
_MAX_TEXT: Final = 200


def inspection_spec(found: Inspection, content: str) -> dict[str, Any]:
    """Return the `spec` of a `ModelInspection` for the content with this digest. Long lists are cut and counted."""
    spec: dict[str, Any] = {
        "content": content,
        "inspectorVersion": VERSION,
        "files": found.files,
        "bytes": found.bytes,
        "codeFormats": found.code_formats,
        "codeFileCount": len(found.findings),
        "codeFiles": [{"path": _text(f.path), "why": _text(f.why)} for f in found.findings[:_MAX_LISTED]],
        "unsafeGlobalCount": len(found.unsafe_globals),
        "unsafeGlobals": [_text(name) for name in sorted(found.unsafe_globals)[:_MAX_LISTED]],
        "externalDataCount": len(found.external_data),
        "externalData": [_text(name) for name in found.external_data[:_MAX_LISTED]],
    }
    lists: list[list[Any]] = [spec["codeFiles"], spec["unsafeGlobals"], spec["externalData"]]
    while len(json.dumps(spec)) > MAX_SPEC and any(lists):
        max(lists, key=lambda items: len(json.dumps(items))).pop()
    return {name: value for name, value in spec.items() if value not in ([], 0)}


def _text(text: str) -> str:
    """Return printable text of a bounded length."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:_MAX_TEXT])
    return shown if len(shown) <= _MAX_TEXT else f"{shown[: _MAX_TEXT - 1]}…"
