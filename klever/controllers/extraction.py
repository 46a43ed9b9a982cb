"""Which versions want to be inspected or their signature read, and the one job that does both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from klever import formats
from klever.api.kinds import MODEL_JOB, Object
from klever.catalog.catalogue import Version
from klever.errors import InvalidError, NotFoundError
from klever.oci.reference import Reference
from klever.store import Key, Store

__all__ = [
    "CONTENT_ANNOTATION",
    "RETRY_SECONDS",
    "Extraction",
    "apply_extraction",
    "concerns",
    "extraction_name",
    "find_extraction",
    "has_ended",
    "is_retried",
    "lacks_signature",
    "reason_of",
    "wants_extraction",
]


@dataclass(frozen=True, slots=True)
class Extraction:
    """A job that is to be created, in the first of `namespaces` that exists.

    `outdated` is a job of the same name that has to be deleted first, None if there is none.
    """

    version: Version
    namespaces: tuple[str, ...]
    outdated: Object | None = None

    @property
    def name(self) -> str:
        return extraction_name(self.version)


_KEEP_SECONDS = 86_400
"""Whoever comes in the morning sees why it failed; and a model that cannot be read is tried once a day, not more."""
RETRY_SECONDS = 30.0
"""From the end of a job that failed for no fault of the model's to the next one."""
_FINAL = frozenset(("TaskFailed", "Invalid", "OOMKilled", "DeadlineExceeded", "Cancelled"))
"""Reasons for which a job would fail again, or shall not be tried again by itself."""
CONTENT_ANNOTATION = "kleveross.io/content-digest"


def lacks_signature(version: Version) -> bool:
    """Say whether a version's signature can be read and has not been."""
    if version.metadata.signature is not None:
        return False
    return version.metadata.format in formats.names() and formats.get(version.metadata.format).extractable


def wants_extraction(version: Version, inspection: Object | None) -> bool:
    """Say whether a version lacks its signature, or its content an inspection. False ends every loop of extractions.

    A version of an unknown format is not inspected: it is code.
    """
    return lacks_signature(version) or (inspection is None and version.metadata.format in formats.names())


def extraction_name(version: Version) -> str:
    """The job's name: the same for the same content under the same reference, however often it is asked for."""
    reference = version.reference
    identity = f"{reference.host}/{reference.repository}:{reference.tag}@{version.content}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    readable = re.sub(r"[^a-z0-9]+", "-", f"{reference.model}-{reference.tag}".lower()).strip("-")[:40].strip("-")
    return f"extract-{readable}-{digest}"


def has_ended(job: Object) -> bool:
    """Say whether a job has ended, and is not being deleted: one that is makes room for another."""
    return "deletionTimestamp" not in job["metadata"] and bool(job.get("status", {}).get("completionTime"))


def reason_of(job: Object) -> str:
    """Return why a job failed; empty if it did not."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((c["reason"] for c in conditions if c["type"] == "Failed" and c["status"] == "True"), "")


def is_retried(job: Object) -> bool:
    """Say whether a job failed in a way that may pass: the registry was away, the disk full, the tag moved."""
    return bool(reason_of(job)) and reason_of(job) not in _FINAL


def concerns(job: Object, serving: Object) -> bool:
    """Say whether a job reads, or may have read, what a Serving waits for: both name one repository."""
    try:
        name = Reference.parse(job["spec"]["model"]).name
    except InvalidError:
        return False
    models = (predictor.get("model", "") for predictor in serving["spec"]["predictors"])
    return any(model == name or model.startswith((f"{name}:", f"{name}@")) for model in models)


def _references(version: Version) -> dict[str, str]:
    """Return what to read, and where to write: under the same tag, or under a new one what is named by its digest.

    What is only read is read by its digest: a tag may name another content by then.
    """
    reference = version.reference
    if not lacks_signature(version):
        return {"model": str(version.pinned)}
    if reference.tag and not reference.digest:
        return {"model": str(reference)}
    target = reference.with_tag(f"signature-{version.content.hex[:12]}")
    return {"model": str(version.pinned), "desiredTag": str(target)}


async def find_extraction(seen: Store, namespaces: Iterable[str], version: Version) -> Object | None:
    """Return the job of the version in the first of the namespaces that has it; None if none has."""
    for namespace in namespaces:
        try:
            return await seen.get(MODEL_JOB, Key(namespace, extraction_name(version)))
        except NotFoundError:
            continue
    return None


async def apply_extraction(store: Store, extraction: Extraction) -> None:
    """Create the job in the first of its namespaces that exists, or delete the one that makes room for it.

    Raises `NotFoundError` if none of the namespaces exists, `AlreadyExistsError` if the job does.
    """
    if extraction.outdated is not None:
        metadata = extraction.outdated["metadata"]
        with suppress(NotFoundError):
            await store.delete(MODEL_JOB, Key(metadata["namespace"], metadata["name"]), uid=metadata["uid"])
        return
    *others, last = (_job(Key(namespace, extraction.name), extraction.version) for namespace in extraction.namespaces)
    for job in others:
        with suppress(NotFoundError):
            await store.create(MODEL_JOB, job)
            return
    await store.create(MODEL_JOB, last)


def _job(key: Key, version: Version) -> Object:
    return {
        "apiVersion": MODEL_JOB.api_version,
        "kind": MODEL_JOB.kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "annotations": {CONTENT_ANNOTATION: str(version.content)},
        },
        "spec": {
            **_references(version),
            "extraction": {
                "format": version.metadata.format,
                **({"inspectOnly": True} if version.metadata.signature is not None else {}),
            },
            "ttlSecondsAfterFinished": _KEEP_SECONDS,
        },
    }
