"""Keeps the revisions of a Serving: each spec that was Ready, with the digests that it ran."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from klever.api.kinds import SERVING, SERVING_REVISION, Object
from klever.api.text import format_time
from klever.catalog.catalogue import Version
from klever.controllers.serving.revisions import (
    is_current,
    is_owned,
    last_use,
    read_number,
    runs,
    served_intervals,
    serves,
)
from klever.errors import NotFoundError
from klever.store import Key, Store

__all__ = ["AUTHOR", "RevisionHistory"]

AUTHOR: Final = "kleveross.io/author"
"""The annotation of a Serving that names the caller who wrote its spec."""
_INTERVALS: Final = 100

Versions = Mapping[str, Version | None]
"""The version of each predictor's model, by predictor name; None for a command without a model."""


class RevisionHistory:
    """Reads and writes the ServingRevisions in `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def last_good(self, serving: Object) -> Object | None:
        """Return the revision that was Ready last and still serves, or would serve again, or None."""
        status, metadata = serving.get("status", {}), serving["metadata"]
        if number := status.get("revision"):
            with suppress(NotFoundError):
                found = await self._store.get(SERVING_REVISION, _key(metadata, number))
                return found if is_owned(found, serving) and is_current(found) else None
        if status.get("observedGeneration"):
            return None
        return next((r for r in reversed(await self.revisions(serving)) if is_current(r)), None)  # the status was lost

    async def record(self, serving: Object, versions: Versions, now: datetime) -> int:
        """Record that the Serving is Ready with its spec and these versions. Return the number of the revision.

        Write nothing if that revision already serves.
        """
        last = await self.last_good(serving)
        predictors = serving["spec"]["predictors"]
        pins = {name: str(version.pinned) for name, version in versions.items() if version is not None}
        if last is not None and runs(last, predictors, pins):
            await self._begin(last, now)
            return read_number(last)
        revisions = await self.revisions(serving)
        found = next((r for r in reversed(revisions) if runs(r, predictors, pins)), None)
        if found is None:
            found = await self._create(serving, versions, await self._next_number(serving))
        for other in revisions:
            if other["metadata"]["uid"] != found["metadata"]["uid"]:
                await self._end(other, now)
        await self._begin(found, now)
        await self._prune(serving, [r for r in revisions if r["metadata"]["uid"] != found["metadata"]["uid"]])
        return read_number(found)

    async def end(self, serving: Object, now: datetime) -> None:
        """Record that the Serving has stopped serving, because its replicas are scaled to zero."""
        if (last := await self.last_good(serving)) is not None:
            await self._end(last, now)

    async def interrupt(self, serving: Object, now: datetime) -> None:
        """Record that the last good revision serves no more, because Recreate has ended its processes."""
        if (last := await self.last_good(serving)) is not None and serves(last):
            *earlier, interval = served_intervals(last)
            await self._write(last, [*earlier, {**interval, "endTime": format_time(now), "interrupted": True}])

    async def resume(self, serving: Object, now: datetime) -> None:
        """Record that the last good revision serves again, because what was to replace it has failed."""
        if (last := await self.last_good(serving)) is not None:
            await self._begin(last, now)

    async def revisions(self, serving: Object) -> list[Object]:
        """Return the revisions of this Serving, sorted by number."""
        return [r for r in await self._named(serving["metadata"]) if is_owned(r, serving)]

    async def _named(self, metadata: Object) -> list[Object]:
        """Return the revisions of all Servings that have had this name."""
        page = await self._store.list(
            SERVING_REVISION, metadata["namespace"], fields=f"spec.serving={metadata['name']}"
        )
        return sorted(page.items, key=read_number)

    async def _next_number(self, serving: Object) -> int:
        """Return an unused number. Revisions of a deleted Serving of the same name may still use theirs."""
        known = [read_number(r) for r in await self._named(serving["metadata"])]
        return max([int(serving.get("status", {}).get("revision", 0)), *known]) + 1

    async def _create(self, serving: Object, versions: Versions, number: int) -> Object:
        metadata = serving["metadata"]
        owner = {
            "apiVersion": SERVING.api_version,
            "kind": SERVING.kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        key = _key(metadata, number)
        spec = {
            "serving": metadata["name"],
            "number": number,
            "template": serving["spec"],
            "models": [
                {"predictor": name, "model": str(version.pinned), "digest": str(version.digest)}
                for name, version in versions.items()
                if version is not None
            ],
            "author": await self._author(metadata),
        }
        return await self._store.create(
            SERVING_REVISION,
            {
                "apiVersion": SERVING_REVISION.api_version,
                "kind": SERVING_REVISION.kind,
                "metadata": {"namespace": key.namespace, "name": key.name, "ownerReferences": [owner]},
                "spec": spec,
            },
        )

    async def _author(self, metadata: Object) -> str:
        """Return the author of the spec: the caller of Klever's API, or the field manager that wrote to the store."""
        tool = await self._store.last_writer(SERVING, Key(metadata["namespace"], metadata["name"]))
        return tool or str(metadata.get("annotations", {}).get(AUTHOR, ""))

    async def _begin(self, revision: Object, now: datetime) -> None:
        if not serves(revision):
            await self._write(revision, [*served_intervals(revision), {"startTime": format_time(now)}])

    async def _end(self, revision: Object, now: datetime) -> None:
        if is_current(revision):
            *earlier, last = served_intervals(revision)
            interval = {"startTime": last["startTime"], "endTime": last.get("endTime", format_time(now))}
            await self._write(revision, [*earlier, interval])

    async def _write(self, revision: Object, intervals: list[dict[str, Any]]) -> None:
        metadata = revision["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": {"served": intervals[-_INTERVALS:]}}
        key = Key(metadata["namespace"], metadata["name"])
        with suppress(NotFoundError):  # already deleted
            await self._store.patch(SERVING_REVISION, key, patch, subresource="status")

    async def _prune(self, serving: Object, others: list[Object]) -> None:
        """Delete the revisions beyond the limit, starting with the one that served longest ago."""
        limit = int(serving["spec"].get("revisionHistoryLimit", 10))
        for revision in sorted(others, key=last_use, reverse=True)[limit:]:
            metadata = revision["metadata"]
            with suppress(NotFoundError):
                key = Key(metadata["namespace"], metadata["name"])
                await self._store.delete(SERVING_REVISION, key, uid=metadata["uid"])


def _key(metadata: Object, number: int) -> Key:
    return Key(metadata["namespace"], f"{metadata['name']}-{number}")
