"""Which versions want their signature read, and the one job that does it."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from klever import formats
from klever.api.kinds import MODEL_JOB, Object
from klever.catalog.catalogue import Version
from klever.errors import AlreadyExistsError
from klever.oci.reference import Reference
from klever.store import Key, Store

__all__ = ["ensure_extraction", "extraction_name", "wants_extraction"]

_KEEP_SECONDS = 3600
CONTENT_ANNOTATION = "kleveross.io/content-digest"


def wants_extraction(version: Version) -> bool:
    """Say whether a version's signature can be read and has not been. False ends every loop of extractions."""
    if version.config.signature is not None:
        return False
    return version.config.format in formats.names() and formats.get(version.config.format).extractable


def extraction_name(version: Version) -> str:
    """The job's name: the same for the same content under the same reference, however often it is asked for."""
    reference = version.reference
    identity = f"{reference.host}/{reference.repository}:{reference.tag}@{version.content}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    readable = re.sub(r"[^a-z0-9]+", "-", f"{reference.model}-{reference.tag}".lower()).strip("-")[:40].strip("-")
    return f"extract-{readable}-{digest}"


async def ensure_extraction(store: Store, namespace: str, version: Version) -> Object:
    """Find or create the job that reads the version's signature. Raises `NotFoundError` without the namespace."""
    reference = Reference(version.reference.repository, version.reference.host, version.reference.tag)
    name = extraction_name(version)
    job: dict[str, Any] = {
        "apiVersion": MODEL_JOB.api_version,
        "kind": MODEL_JOB.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {CONTENT_ANNOTATION: str(version.content)},
        },
        "spec": {
            "model": str(reference),
            "extraction": {"format": version.config.format},
            "ttlSecondsAfterFinished": _KEEP_SECONDS,
        },
    }
    try:
        return await store.create(MODEL_JOB, job)
    except AlreadyExistsError:
        return await store.get(MODEL_JOB, Key(namespace, name))
