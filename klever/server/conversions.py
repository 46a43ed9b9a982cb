"""The lineage of a version: its source, and its conversions."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from klever.artifacts.metadata import SOURCE_LABEL
from klever.catalog.catalogue import Catalogue, Version
from klever.errors import InvalidError, NotFoundError
from klever.oci.digest import Digest
from klever.oci.reference import Reference, is_tag
from klever.tasks import report
from klever.v1alpha1 import model_service_pb2 as pb

__all__ = ["add_conversions"]


async def add_conversions(catalogue: Catalogue, version: Version, message: pb.ModelVersion) -> None:
    """Add the conversion report of the version and its conversions to the message."""
    source = version.metadata.labels.get(SOURCE_LABEL)
    if source:
        message.conversion.source = f"{version.reference.repository}@{source}"
        message.conversion.target_format = version.metadata.format
        for found in await catalogue.attachments(version, report.TYPE):
            with suppress(InvalidError):
                _fill(message.conversion, report.parse(found.content), source)
    for found in await catalogue.attachments(version, report.RESULT_TYPE):
        if reference := await _converted(catalogue, version, found.annotations):
            message.converted_to.append(str(reference))


def _fill(message: pb.Conversion, found: Mapping[str, Any], source: str) -> None:
    """Fill the message from the report on a conversion of the version with this digest."""
    origin = found.get("source")
    if not isinstance(origin, dict) or origin.get("digest") != source:
        return
    message.source_format = str(origin.get("format", ""))
    message.compared = not found.get("not_compared")
    message.not_compared = str(found.get("not_compared", ""))
    message.samples[:] = found["samples"]
    if found.get("tolerance") is not None:
        message.tolerance = found["tolerance"]
    del message.outputs[:]
    for name, difference in found["outputs"].items():
        message.outputs.add(
            name=name,
            absolute=difference.get("absolute"),
            relative=difference.get("relative"),
            mean=difference.get("mean"),
            agreement=difference.get("agreement"),
        )


async def _converted(catalogue: Catalogue, source: Version, names: Mapping[str, str]) -> Reference | None:
    """Return the version that an attachment of its source names. None if it is gone or is not a conversion of it."""
    try:
        digest = Digest.parse(names.get(report.CONVERTED_TO, ""))
        converted = await catalogue.resolve(source.reference.with_digest(digest))
    except (InvalidError, NotFoundError):
        return None
    if converted.metadata.labels.get(SOURCE_LABEL) != str(source.digest):
        return None
    tag = names.get(report.TAG, "")
    return replace(source.reference, tag=tag if is_tag(tag) else "", digest=digest)
