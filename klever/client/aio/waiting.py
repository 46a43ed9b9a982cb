"""The wait for a condition of an object, or for its end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from klever.client.aio.watching import AsyncWatch
from klever.client.conditions import holds, why
from klever.client.stored import named
from klever.errors import DeadlineError, ExpiredError, NotFoundError
from klever.v1alpha1.common_pb2 import WatchEvent

if TYPE_CHECKING:
    from klever.client.aio.objects import AsyncObjects

__all__ = ["AsyncStates"]


class AsyncStates:
    """The states of one object until a timeout in seconds. `on_change` is called with each."""

    def __init__(
        self,
        objects: AsyncObjects[Any, Any],
        name: str,
        namespace: str,
        timeout: float,
        on_change: Callable[[Any], None] | None,
    ) -> None:
        self._objects = objects
        self._name = name
        self._namespace = namespace or objects.connection.settings.namespace
        self._timeout = timeout
        self._on_change = on_change
        self._what = f"{objects.kind.singular} {name}"
        self._last: Any = None

    async def until(self, condition: str, status: str) -> Any:
        """Return the object once the condition holds. `AsyncObjects.wait` lists the errors."""
        with suppress(DeadlineError):  # raised again below, with the object's problems
            async with aclosing(self._states()) as states:
                async for obj in states:
                    if obj is None:
                        kind, where = self._objects.kind.plural, f"-n {self._namespace}"
                        raise NotFoundError(
                            f"{self._what} not found: `klever get {kind} {where}` lists the existing ones"
                        )
                    if holds(obj, self._what, condition, status):
                        return obj
        raise self._late(f"condition={condition}{'' if status == 'True' else f'={status}'}")

    async def gone(self) -> Any:
        """Return the last state, None if there was none."""
        with suppress(DeadlineError):
            async with aclosing(self._states()) as states:
                async for obj in states:
                    if obj is None:
                        return self._last
        raise self._late("delete")

    def _late(self, wanted: str) -> DeadlineError:
        return DeadlineError(f"{self._what}: {wanted} not met within {self._timeout:g} s; {why(self._last)}")

    async def _states(self) -> AsyncGenerator[Any, None]:
        """Yield the object now and after each change, and None last if it does not exist.

        Raises `DeadlineError` at the timeout.
        """
        deadline = time.monotonic() + self._timeout
        method = self._objects.kind.method("Watch")
        fields = {"namespace": self._namespace, "filter": named(self._name)}
        while True:
            obj, version = await self._objects.look(self._name, self._namespace)
            yield self._seen(obj)
            if obj is None:
                return
            if time.monotonic() >= deadline:
                raise DeadlineError(f"{self._what}: the timeout has passed")
            watch = AsyncWatch(self._objects.connection, method, fields)
            with suppress(ExpiredError):  # the version is too old: read the object again
                async with aclosing(watch.events(version, deadline)) as events:
                    async for event in events:
                        yield self._seen(None if event.type == WatchEvent.DELETED else event.object)

    def _seen(self, obj: Any) -> Any:
        self._last = obj or self._last
        if obj is not None and self._on_change is not None:
            self._on_change(obj)
        return obj
