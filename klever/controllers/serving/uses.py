"""Finds the Servings that use a version of a model, to protect it from deletion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from klever.api.kinds import SERVING, SERVING_REVISION, Object
from klever.controllers.serving.revisions import read_number
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.store import Store

__all__ = ["VersionUses"]


class VersionUses:
    """Finds the users of versions in `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, repository: str, tags: Sequence[str], digest: Digest | None, *, removed: bool) -> list[str]:
        """Return the users of the versions to delete, for messages, such as `serving team/digits`.

        Users are the Servings whose specs name one of the tags, or that run the digest. If the manifest itself is
        removed, the kept revisions that ran it are users too. The host of a reference does not count, because the
        platform has several host names.
        """
        wanted = {(repository, target) for target in (*tags, *([str(digest)] if digest else []))}
        users = list[str]()
        for serving in (await self._store.list(SERVING)).items:
            if "deletionTimestamp" not in serving["metadata"] and wanted & set(_targets(serving)):
                users.append("serving {namespace}/{name}".format_map(serving["metadata"]))
        revisions = (await self._store.list(SERVING_REVISION)).items if removed else ()
        for revision in revisions:
            models = revision["spec"].get("models", ())
            owner = f"serving {revision['metadata']['namespace']}/{revision['spec']['serving']}"
            if owner not in users and any(_target(m["model"], m["digest"]) in wanted for m in models):
                users.append(f"revision {read_number(revision)} of {owner}")
        return users


def _targets(serving: Object) -> Iterator[tuple[str, str]]:
    """Yield the repository and the tag or digest of each model that a Serving names or runs."""
    for predictor in serving["spec"]["predictors"]:
        if predictor.get("model"):
            yield _target(predictor["model"])
    for status in serving.get("status", {}).get("predictors", ()):
        if status.get("model") and status.get("digest"):
            yield _target(status["model"], status["digest"])


def _target(model: str, digest: str = "") -> tuple[str, str]:
    reference = Reference.parse(model)
    return reference.repository, digest or str(reference.target)
