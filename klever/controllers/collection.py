"""Collects the inspections of unused content.

An inspection is deleted if it is a day old, no tag names its content, and no Serving and no kept revision uses it. The
rule depends only on the store and the registries, so that it survives a restart. Content that is used again later is
inspected again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from klever.api.kinds import MODEL_INSPECTION, SERVING, SERVING_REVISION, Object
from klever.api.text import parse_time
from klever.catalog.catalogue import Catalogue
from klever.errors import ConflictError, InvalidError, KleverError, NotFoundError
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.store import Key, Store

__all__ = ["InspectionCollector"]

log = logging.getLogger(__name__)

_LIFE: Final = timedelta(days=1)
"""The grace period of a version that has no tag or no Serving yet."""
_FIRST_SECONDS: Final = 300.0
_SWEEP_SECONDS: Final = 6 * 3600.0


class InspectionCollector:
    def __init__(
        self, store: Store, catalogue: Catalogue, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock

    async def run(self) -> None:
        """Sweep until cancelled. The first sweep waits until the platform has started."""
        pause = _FIRST_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = _SWEEP_SECONDS
            try:
                await self.sweep()
            except KleverError as error:
                log.warning("failed to collect unused inspections, will retry: %s", error)

    async def sweep(self) -> None:
        """Delete unused inspections. Delete none if a registry that a Serving or tag needs does not answer."""
        for inspection in (await self._unused()).values():
            metadata = inspection["metadata"]
            with suppress(NotFoundError, ConflictError):  # changed meanwhile
                await self._store.delete(
                    MODEL_INSPECTION, Key("", metadata["name"]), resource_version=metadata["resourceVersion"]
                )

    async def _unused(self) -> dict[str, Object]:
        """Return the old, unused inspections by content."""
        before = self._clock() - _LIFE
        found = (await self._store.list(MODEL_INSPECTION)).items
        unused = {o["spec"]["content"]: o for o in found if parse_time(o["spec"]["inspectedAt"]) < before}
        if unused:
            for reference in await self._served():
                unused.pop(str(await self._content(reference)), None)
        if unused:
            async for content in self._catalogue.contents():
                unused.pop(str(content), None)
        return unused

    async def _served(self) -> set[Reference]:
        """Return the references and pins of the predictors of Servings and kept revisions."""
        named = list[dict[str, str]]()
        for serving in (await self._store.list(SERVING)).items:
            named += serving["spec"]["predictors"] + serving.get("status", {}).get("predictors", [])
        for revision in (await self._store.list(SERVING_REVISION)).items:
            named += revision["spec"].get("models", [])
        return {_reference(each) for each in named if each.get("model")}

    async def _content(self, reference: Reference) -> Digest | None:
        try:
            return (await self._catalogue.resolve(reference)).content
        except (NotFoundError, InvalidError):  # deleted, or not a model: the Serving cannot use it either
            return None


def _reference(model: dict[str, str]) -> Reference:
    reference = Reference.parse(model["model"])
    return reference.with_digest(Digest.parse(model["digest"])) if model.get("digest") else reference
