"""Collects the inspections of contents that nobody uses any more.

An inspection goes if it is a day old, no tag names its content, and no Serving nor a kept
revision of one uses it. The rule looks at the store and
the registries alone, so that a restart forgets nothing. If a content is used again later, it is inspected again.
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
"""A version that is pushed and not tagged yet, or whose Serving is not created yet, has this time."""
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
        """Sweep until cancelled, for the first time when the platform has settled."""
        pause = _FIRST_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = _SWEEP_SECONDS
            try:
                await self.sweep()
            except KleverError as error:
                log.warning("unused inspections were not collected, it is tried again: %s", error)

    async def sweep(self) -> None:
        """Delete what is unused. Nothing is deleted if a registry that a Serving or tag needs does not answer."""
        for inspection in (await self._unused()).values():
            metadata = inspection["metadata"]
            with suppress(NotFoundError, ConflictError):  # written again meanwhile
                await self._store.delete(
                    MODEL_INSPECTION, Key("", metadata["name"]), resource_version=metadata["resourceVersion"]
                )

    async def _unused(self) -> dict[str, Object]:
        """Return the old inspections that nothing uses, by content."""
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
        """Return what the predictors of Servings name and were pinned to, now and in the revisions that are kept."""
        named = list[dict[str, str]]()
        for serving in (await self._store.list(SERVING)).items:
            named += serving["spec"]["predictors"] + serving.get("status", {}).get("predictors", [])
        for revision in (await self._store.list(SERVING_REVISION)).items:
            named += revision["spec"].get("models", [])
        return {_reference(each) for each in named if each.get("model")}

    async def _content(self, reference: Reference) -> Digest | None:
        try:
            return (await self._catalogue.resolve(reference)).content
        except (NotFoundError, InvalidError):  # gone, or no model: the Serving cannot use it either
            return None


def _reference(model: dict[str, str]) -> Reference:
    reference = Reference.parse(model["model"])
    return reference.with_digest(Digest.parse(model["digest"])) if model.get("digest") else reference
