"""Finds versions without an inspection or a signature, and the job that does both."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from klever import formats
from klever.api.kinds import MODEL_JOB, Object
from klever.catalog.catalogue import Version
from klever.controllers.jobs import KEEP_SECONDS
from klever.errors import InvalidError
from klever.oci.reference import Reference

__all__ = ["CONTENT_ANNOTATION", "Extraction", "concerns", "extraction_name", "lacks_signature", "wants_extraction"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """A job to create in the first of `namespaces` that exists.

    `outdated` is a job with the same name that must be deleted first, None if there is none.
    """

    version: Version
    namespaces: tuple[str, ...]
    outdated: Object | None = None

    @property
    def name(self) -> str:
        return extraction_name(self.version)

    def body(self, namespace: str) -> Object:
        """Return the ModelJob."""
        version = self.version
        inspect_only = {"inspectOnly": True} if version.metadata.signature is not None else {}
        return {
            "apiVersion": MODEL_JOB.api_version,
            "kind": MODEL_JOB.kind,
            "metadata": {
                "name": self.name,
                "namespace": namespace,
                "annotations": {CONTENT_ANNOTATION: str(version.content)},
            },
            "spec": {
                **_references(version),
                "extraction": {"format": version.metadata.format, **inspect_only},
                "ttlSecondsAfterFinished": KEEP_SECONDS,
            },
        }


CONTENT_ANNOTATION = "kleveross.io/content-digest"


def lacks_signature(version: Version) -> bool:
    """Whether a version's signature can be read and has not been read."""
    if version.metadata.signature is not None:
        return False
    return version.metadata.format in formats.names() and formats.get(version.metadata.format).extractable


def wants_extraction(version: Version, inspection: Object | None) -> bool:
    """Whether a version lacks its signature, or its content an inspection. False ends every loop of extractions.

    A version of an unknown format is not inspected: it is code.
    """
    return lacks_signature(version) or (inspection is None and version.metadata.format in formats.names())


def extraction_name(version: Version) -> str:
    """Return the job's name, which depends only on the content and the reference."""
    reference = version.reference
    identity = f"{reference.host}/{reference.repository}:{reference.tag}@{version.content}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    readable = re.sub(r"[^a-z0-9]+", "-", f"{reference.model}-{reference.tag}".lower()).strip("-")[:40].strip("-")
    return f"extract-{readable}-{digest}"


def concerns(job: Object, serving: Object) -> bool:
    """Whether a Serving may wait for a job: both name one repository."""
    try:
        name = Reference.parse(job["spec"]["model"]).name
    except InvalidError:
        return False
    models = (predictor.get("model", "") for predictor in serving["spec"]["predictors"])
    return any(model == name or model.startswith((f"{name}:", f"{name}@")) for model in models)


def _references(version: Version) -> dict[str, str]:
    """Return the version to read and the tag to write: the same tag, or a new one for a version without a tag.

    A version that is only read is named by its digest, because the tag may move meanwhile.
    """
    reference = version.reference
    if not lacks_signature(version):
        return {"model": str(version.pinned)}
    if reference.tag and not reference.digest:
        return {"model": str(reference)}
    target = reference.with_tag(f"signature-{version.content.hex[:12]}")
    return {"model": str(version.pinned), "desiredTag": str(target)}
