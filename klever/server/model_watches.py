"""Watches models. The registry names the repositories that changed, and a watch compares them with what it sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final

from klever.catalog.catalogue import Catalogue
from klever.v1alpha1 import model_service_pb2 as pb
from klever.v1alpha1.common_pb2 import WatchEvent

__all__ = ["watch_models"]

Read = Callable[[str], Awaitable[pb.Model | None]]
"""Returns the model of a repository. None if it does not exist or the filter leaves it out."""

Turn = Callable[[], AbstractAsyncContextManager[None]]
"""Waits for a turn to read."""

_CHUNK: Final = 32
"""How many models are read in one turn."""


async def watch_models(
    catalogue: Catalogue, project: str, read: Read, turn: Turn
) -> AsyncGenerator[pb.WatchModelsResponse, None]:
    """Yield the current models of a project, or of all projects, and then their changes."""
    known: dict[str, pb.Model] = {}
    begun = False
    async with aclosing(catalogue.changes()) as changes:  # type: ignore[type-var]  # every implementation is a generator
        async for changed in changes:
            async with turn():
                names = [changed] if changed else sorted({*await catalogue.models(project), *known})
            names = [name for name in names if project in ("", name.partition("/")[0]) and "/" in name]
            for start in range(0, len(names), _CHUNK):
                async with turn():  # not while an event waits for the caller to read it
                    events = [_difference(known, name, await read(name)) for name in names[start : start + _CHUNK]]
                for event in filter(None, events):
                    yield event
            if not begun:
                begun = True
                yield pb.WatchModelsResponse(type=WatchEvent.BOOKMARK)


def _difference(known: dict[str, pb.Model], name: str, now: pb.Model | None) -> pb.WatchModelsResponse | None:
    before = known.get(name)
    if now is None:
        if before is None:
            return None
        return pb.WatchModelsResponse(type=WatchEvent.DELETED, object=known.pop(name))
    if now == before:
        return None
    known[name] = now
    return pb.WatchModelsResponse(type=WatchEvent.ADDED if before is None else WatchEvent.MODIFIED, object=now)
