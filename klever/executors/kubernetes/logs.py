"""The log of a pod: the logs of its containers, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Any

from klever.api.kinds import Object
from klever.changes import Changes
from klever.executors.kubernetes.states import containers, ended
from klever.kube.client import KubeClient

__all__ = ["PodLog"]


class PodLog:
    """Reads the log of a pod. `pod` returns the pod, None once it is deleted. `subscribe` reports changes of pods."""

    def __init__(
        self,
        client: KubeClient,
        pod: Callable[[], Object | None],
        subscribe: Callable[[], AbstractContextManager[Changes[str]]],
    ) -> None:
        self._client = client
        self._pod = pod
        self._subscribe = subscribe

    async def lines(self, tail: int | None, *, follow: bool) -> AsyncIterator[str]:
        """Yield the last `tail` lines so far, and with `follow` new lines until the pod has ended."""
        read: dict[str, int] = {}
        if tail is not None:
            last: deque[str] = deque(maxlen=tail)
            for name in self._started():
                read[name] = 0
                async for line in self._container(name, follow=False):
                    read[name] += 1
                    last.append(line)
            for line in last:
                yield line
        if follow or tail is None:
            async for line in self._further(read, follow=follow):
                yield line

    async def _further(self, read: dict[str, int], *, follow: bool) -> AsyncIterator[str]:
        """Yield the lines of each container, except the first `read` ones."""
        done = set[str]()
        with self._subscribe() as changes:
            while True:
                for name in self._started():
                    if name in done:
                        continue
                    skip = read.get(name, 0)
                    async for line in self._container(name, follow=follow):
                        if skip:
                            skip -= 1
                        else:
                            yield line
                    done.add(name)
                if not done.issuperset(self._started()):
                    continue
                if not follow or self._has_ended():
                    return
                await changes.next()

    def _has_ended(self) -> bool:
        pod = self._pod()
        return pod is None or ended(pod)

    def _started(self) -> list[str]:
        pod = self._pod()
        return [one["name"] for one in containers(pod) if _has_started(one)] if pod is not None else []

    async def _container(self, name: str, *, follow: bool) -> AsyncIterator[str]:
        pod = self._pod()
        if pod is not None:
            metadata = pod["metadata"]
            async for line in self._client.log(metadata["namespace"], metadata["name"], name, follow=follow):
                yield line


def _has_started(status: dict[str, Any]) -> bool:
    state = status.get("state", {})
    return "running" in state or bool(state.get("terminated", {}).get("startedAt"))
