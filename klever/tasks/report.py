"""The report of a conversion: the differences between the outputs of the model and of the converted model.

    {"samples": ["random, batch 1", …], "tolerance": 1e-05, "passed": true,
     "outputs": {"prob": {"absolute": 2.4e-08, "relative": 3.1e-07}}, "not_compared": "why, if one cannot run"}

The tolerance is null if the conversion has none. Then each output also has `mean` and, for rows of scores, `agreement`:
how much accuracy was lost.


It is stored as an artifact that refers to the converted version (OCI image specification 1.1, `subject`), and as one
that refers to the source, if that is in the same repository.
"""

from __future__ import annotations

import json
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

__all__ = ["CONVERTED_TO", "NAME", "RESULT_TYPE", "TAG", "TYPE", "attach", "parse", "read", "summarize"]

NAME: Final = "report.json"
TYPE: Final = "application/vnd.kleveross.conversion.report.v1+json"
"""Type of the artifact that refers to the converted version."""
RESULT_TYPE: Final = "application/vnd.kleveross.conversion.result.v1+json"
"""Type of the artifact that refers to the source. Its annotations name the converted version."""
CONVERTED_TO: Final = "kleveross.io/converted-to"
"""Annotation: the digest of the converted version."""
TAG: Final = "kleveross.io/tag"
"""Annotation: the tag under which the converted version was pushed."""
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
    return parse(content)


def parse(content: bytes) -> dict[str, Any]:
    """Return a report from its document. Raises `InvalidError` for another document."""
    report = decode_object(content, "the converter's report")
    try:
        json.dumps(report, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidError("the converter's report has text that is not Unicode") from error
    if not report.get("passed") or not _valid(report):
        raise InvalidError("the converter's report must have samples, outputs with absolute and relative, and passed")
    return report


def summarize(report: Mapping[str, Any]) -> str:
    """Return one line for the result of the job."""
    if report.get("not_compared"):
        return str(report["not_compared"])
    name, worst = max(report["outputs"].items(), key=lambda item: float(item[1]["relative"]))
    lost = [f"mean {worst['mean']:.2g}"] if "mean" in worst else []
    lost += [f"{worst['agreement']:.0%} of rows keep their largest score"] if "agreement" in worst else []
    tolerance = report["tolerance"]
    return ", ".join((
        f"compared on {len(report['samples'])} inputs",
        f"largest relative difference {worst['relative']:.2g} ({name})",
        *lost,
        "no tolerance" if tolerance is None else f"tolerance {tolerance:g}",
    ))  # fmt: skip


def attach(
    report: Mapping[str, Any], source: SavedModel, converted: SavedModel, layout: Layout, client: RegistryClient
) -> None:
    """Push the report as a referrer of the converted version, and of the source in the same repository."""
    origin = {"reference": str(source.reference), "digest": str(source.manifest.digest), "format": source.format}
    layer = layout.put(TYPE, encode_json({**report, "source": origin}))
    config = layout.put(mediatypes.EMPTY, _EMPTY)
    repository = converted.reference.repository
    for blob in (config, layer):
        client.put_blob(repository, blob, layout.blob_path(blob.digest))
    common = {
        "schemaVersion": 2,
        "mediaType": mediatypes.IMAGE_MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json()],
    }
    _push(common | {"artifactType": TYPE, "subject": converted.manifest.to_json()}, repository, layout, client)
    if (source.reference.host, source.reference.repository) == (converted.reference.host, repository):
        names = {CONVERTED_TO: str(converted.manifest.digest), TAG: converted.reference.tag}
        result = {"artifactType": RESULT_TYPE, "subject": source.manifest.to_json(), "annotations": names}
        _push(common | result, repository, layout, client)


def _push(manifest: Mapping[str, Any], repository: str, layout: Layout, client: RegistryClient) -> None:
    content = layout.put(mediatypes.IMAGE_MANIFEST, encode_json(manifest))
    client.put_manifest(repository, str(content.digest), layout.read(content), mediatypes.IMAGE_MANIFEST)


def _valid(report: Mapping[str, Any]) -> bool:
    outputs, samples = report.get("outputs"), report.get("samples")
    if not isinstance(outputs, dict) or not isinstance(samples, list) or not all(isinstance(s, str) for s in samples):
        return False
    if report.get("not_compared"):
        return isinstance(report["not_compared"], str)
    known = [one for one in outputs.values() if isinstance(one, dict)]
    numbers = [one.get(key) for one in known for key in ("absolute", "relative")]
    numbers += [one[key] for one in known for key in ("mean", "agreement") if key in one]
    numbers += [report["tolerance"]] if report.get("tolerance") is not None else []
    return bool(outputs) and len(known) == len(outputs) and all(map(_is_number, numbers))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
