"""The converted version that a Serving needs, and the job that writes it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from klever.api.kinds import MODEL_JOB, Object
from klever.artifacts.metadata import SOURCE_LABEL
from klever.catalog.catalogue import Version
from klever.controllers.jobs import KEEP_SECONDS
from klever.converters.table import CONVERTERS
from klever.oci.reference import Reference

__all__ = ["Conversion", "is_made_from", "served_target"]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A job that converts `version` to `target`. `outdated` is a job with the same name that must be deleted first."""

    version: Version
    target: str
    namespaces: tuple[str, ...]
    outdated: Object | None = None

    @property
    def name(self) -> str:
        reference = self.version.reference
        identity = f"{reference.host}/{reference.repository}@{self.version.digest} to {self.target}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
        readable = re.sub(r"[^a-z0-9]+", "-", f"{reference.model}-{reference.tag}".lower()).strip("-")[:40].strip("-")
        return f"convert-{readable}-{digest}"

    @property
    def written(self) -> Reference:
        """The version that the job writes: TAG-FORMAT in the repository of the source."""
        reference = self.version.reference
        return reference.with_tag(f"{reference.tag or self.version.content.hex[:12]}-{self.target.lower()}")

    def body(self, namespace: str) -> Object:
        """Return the ModelJob."""
        return {
            "apiVersion": MODEL_JOB.api_version,
            "kind": MODEL_JOB.kind,
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {
                "model": str(self.version.pinned),
                "desiredTag": str(self.written),
                "conversion": {"mmdnn": {"from": self.version.metadata.format, "to": self.target}},
                "ttlSecondsAfterFinished": KEEP_SECONDS,
            },
        }


def served_target(format_: str, served: Collection[str]) -> str:
    """Return the target format for a conversion; empty if the format is served itself or cannot be converted."""
    if format_ in served:
        return ""
    return next((to for source, to in sorted(CONVERTERS) if source == format_ and to in served), "")


def is_made_from(converted: Version, source: Version) -> bool:
    """Whether a version is the conversion of another one."""
    return converted.metadata.labels.get(SOURCE_LABEL) == str(source.digest)
