"""The report of a conversion: the differences between the outputs of the model and of the converted model.

    {"samples": ["random, batch 1", …], "tolerance": 1e-05, "passed": true,
     "outputs": {"prob": {"absolute": 2.4e-08, "relative": 3.1e-07}}, "not_compared": "why, if one cannot run"}

It is stored as an artifact that refers to the converted version (OCI image specification 1.1, `subject`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from klever.artifacts.model import SavedModel
from klever.errors import InvalidError
from klever.oci import mediatypes
from klever.oci.client import RegistryClient
from klever.oci.encoding import decode_object, encode_json
from klever.oci.layout import Layout

__all__ = ["NAME", "TYPE", "attach", "read", "summarize"]

NAME: Final = "report.json"
TYPE: Final = "application/vnd.kleveross.conversion.report.v1+json"
_MAX_BYTES: Final = 1 << 20
_EMPTY: Final = b"{}"


def read(path: Path) -> dict[str, Any]:
    """Return the report that the program wrote; empty if it wrote none. Raises `InvalidError` for another document.

    The model's code may have written it, so the file is read without following links, and only up to a limit.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidError(f"cannot read the converter's report: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise InvalidError(f"the converter's report must have at most {_MAX_BYTES} bytes")
    report = decode_object(content, "the converter's report")
    if not report.get("passed") or not _valid(report):
        raise InvalidError("the converter's report must have samples, outputs with absolute and relative, and passed")
    return report


def summarize(report: Mapping[str, Any]) -> str:
    """Return one line for the result of the job."""
    if report.get("not_compared"):
        return str(report["not_compared"])
    name, worst = max(report["outputs"].items(), key=lambda item: float(item[1]["relative"]))
    return (
        f"compared on {len(report['samples'])} inputs, largest relative difference {worst['relative']:.2g} ({name}), "
        f"tolerance {report['tolerance']:g}"
    )


def attach(
    report: Mapping[str, Any], source: SavedModel, converted: SavedModel, layout: Layout, client: RegistryClient
) -> None:
    """Push the report as a referrer of the converted version."""
    origin = {"reference": str(source.reference), "digest": str(source.manifest.digest), "format": source.format}
    layer = layout.put(TYPE, encode_json({**report, "source": origin}))
    config = layout.put(mediatypes.EMPTY, _EMPTY)
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.IMAGE_MANIFEST,
        "artifactType": TYPE,
        "config": config.to_json(),
        "layers": [layer.to_json()],
        "subject": converted.manifest.to_json(),
    }
    repository = converted.reference.repository
    for blob in (config, layer):
        client.put_blob(repository, blob, layout.blob_path(blob.digest))
    content = layout.put(mediatypes.IMAGE_MANIFEST, encode_json(manifest))
    client.put_manifest(repository, str(content.digest), layout.read(content), mediatypes.IMAGE_MANIFEST)


def _valid(report: Mapping[str, Any]) -> bool:
    outputs, samples = report.get("outputs"), report.get("samples")
    if not isinstance(outputs, dict) or not isinstance(samples, list) or not all(isinstance(s, str) for s in samples):
        return False
    if report.get("not_compared"):
        return isinstance(report["not_compared"], str)
    numbers = [one.get(key) for one in outputs.values() if isinstance(one, dict) for key in ("absolute", "relative")]
    return (
        bool(outputs) and len(numbers) == 2 * len(outputs) and all(map(_is_number, (*numbers, report.get("tolerance"))))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
