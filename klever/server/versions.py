"""Converts versions of models to messages of the API."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from klever.api.codec import from_object
from klever.api.kinds import Object
from klever.api.text import parse_time
from klever.catalog.catalogue import Version
from klever.controllers.inspections import trust_as
from klever.formats import Trust
from klever.server.signatures import signature_message
from klever.v1alpha1 import model_service_pb2 as pb
from klever.v1alpha1.inspection_pb2 import ModelInspection

__all__ = ["timestamp", "version_message"]

_TRUSTS: Final = {Trust.DATA: pb.ModelVersion.DATA, Trust.CODE: pb.ModelVersion.CODE}


def version_message(version: Version, inspection: Object | None) -> pb.ModelVersion:
    """Return a version as a message, with the platform's own inspection of it."""
    message = _version(version)
    trust = trust_as(inspection, version.metadata.format)
    message.trust = _TRUSTS[trust] if trust else pb.ModelVersion.TRUST_UNSPECIFIED
    if inspection is not None:
        message.inspection.CopyFrom(from_object(inspection, ModelInspection).spec)
    return message


def _version(version: Version) -> pb.ModelVersion:
    metadata, reference = version.metadata, version.reference
    return pb.ModelVersion(
        project=reference.project,
        model=reference.model,
        tag=reference.tag,
        digest=str(version.digest),
        content_digest=str(version.content),
        size=version.size,
        create_time=timestamp(metadata.created),
        author=metadata.author,
        description=metadata.description,
        format=metadata.format,
        framework=metadata.framework,
        labels=dict(metadata.labels),
        tags=list(metadata.tags),
        signature=signature_message(metadata.signature),
        metrics=[_metric(name, text) for name, text in metadata.metrics],
        hyper_parameters=[pb.HyperParameter(name=n, value=v) for n, v in metadata.hyper_parameters],
        training=pb.GitSource(repository=metadata.training.repository, revision=metadata.training.revision),
        dataset=pb.GitSource(repository=metadata.dataset.repository, revision=metadata.dataset.revision),
        dialect=version.dialect,
        reference=str(reference),
        input_count=version.tensors[0] if version.tensors else None,
        output_count=version.tensors[1] if version.tensors else None,
    )


def _metric(name: str, text: str) -> pb.Metric:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return pb.Metric(name=name, value=value if math.isfinite(value) else None, text=text)


def timestamp(text: str) -> Timestamp | None:
    """Return a time of the metadata. None for the original tool's "never" and for an invalid time."""
    try:
        time = parse_time(text)
    except ValueError:
        return None
    if time < datetime(1970, 1, 1, tzinfo=UTC):
        return None
    result = Timestamp()
    result.FromDatetime(time)
    return result
