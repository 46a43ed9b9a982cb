"""The local backend: one process per replica, under a shim that outlives the control plane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from klever.backends import Instance, PredictorWorkload, Rendering, ServingKey, Workload
from klever.backends.local.cache import Fetch, ModelCache
from klever.backends.local.commands import Commands
from klever.backends.local.features import check_features
from klever.backends.local.launcher import Launcher
from klever.backends.local.probe import Prober
from klever.backends.local.record import Record, Slot
from klever.backends.local.render import render
from klever.backends.local.replica import Replica, Timing
from klever.backends.local.room import Room
from klever.backends.local.serving import LocalServing
from klever.changes import Broadcast
from klever.environments import EnvironmentManager
from klever.errors import FailedPreconditionError, FieldViolation, NotFoundError
from klever.formats import Trust
from klever.process import ProcessManager
from klever.process.resources import check_resources
from klever.process.variables import check_variables
from klever.runtimes import Model, Runtime

__all__ = ["LocalBackend"]


class LocalBackend:
    """Implements `klever.backends.Backend` on this machine. Use it from one event loop, between `start` and `close`.

    Models are unpacked below `models`, in at most `cache_bytes` in total; `fetch` pulls one. Replicas listen on Unix
    sockets below `sockets`. `commands` is the access of users' own commands to this machine, `room` the memory
    that replicas may request.
    """

    routes_shares = False

    def __init__(
        self,
        *,
        processes: ProcessManager,
        environments: EnvironmentManager,
        runtimes: Mapping[str, Runtime],
        models: Path,
        fetch: Fetch,
        cache_bytes: int,
        sockets: Path,
        commands: Commands,
        room: Room | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._processes = processes
        self._cache = ModelCache(models, fetch, max_bytes=cache_bytes)
        self._launcher = Launcher(
            processes=processes,
            environments=environments,
            runtimes=runtimes,
            cache=self._cache,
            sockets=sockets,
            commands=commands,
            room=room or Room(),
        )
        self._prober = Prober(exposed=commands.network)
        self._timing = timing or Timing()
        self._changes: Broadcast[ServingKey] = Broadcast()
        self._servings: dict[ServingKey, LocalServing] = {}
        self._pump: asyncio.Task[None] | None = None

    # Start and end

    async def start(self) -> None:
        """Adopt the replicas that an earlier control plane started.

        On return, replicas that answer are Ready.
        """
        await self._cache.start()
        records = await self._launcher.find()
        adopted = [self._serving(record.slot.key).adopt(record) for record in records]
        await asyncio.gather(*(replica.look() for replica in adopted))
        for replica in adopted:
            replica.start()
        self._pump = asyncio.create_task(self._tell_replicas(), name="process changes")

    async def close(self) -> None:
        """Stop supervising. The replicas keep running; call `remove` first to end them."""
        if self._pump:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        await asyncio.gather(*(serving.leave() for serving in self._servings.values()))
        await self._cache.close()

    # Backend

    def check(self, predictor: PredictorWorkload) -> tuple[FieldViolation, ...]:
        return (
            *check_features(predictor),
            *check_variables(predictor.env),
            *check_resources(predictor.resources),
        )

    async def render(self, key: ServingKey, predictor: PredictorWorkload, files: Sequence[str]) -> Rendering:
        with self._cache.hold(predictor.content):
            names = await self._launcher.known_files(predictor) or tuple(sorted(files))
        if predictor.content and not names:
            raise FailedPreconditionError(
                f"the files of {predictor.model} are unknown: its metadata does not list them, and it is not cached",
                reason="MODEL_NOT_PULLED",
            )
        code = predictor.trust is Trust.CODE
        model = Model(key.name, predictor.format, names, predictor.signature, code=code)
        runtime = self._launcher.runtime(predictor)
        return await asyncio.to_thread(render, runtime, model, predictor)  # a signature may be large

    async def ensure(self, workload: Workload) -> None:
        self._serving(workload.key).declare(workload)

    async def observe(self, key: ServingKey) -> tuple[Instance, ...]:
        serving = self._servings.get(key)
        return serving.instances() if serving else ()

    async def remove(self, key: ServingKey) -> None:
        serving = self._servings.get(key)
        if serving is None:
            return
        serving.declare(None)
        await serving.settled()
        if serving.empty and self._servings.get(key) is serving:
            del self._servings[key]

    async def list(self) -> tuple[ServingKey, ...]:
        return tuple(sorted(key for key, serving in self._servings.items() if not serving.empty))

    def logs(self, key: ServingKey, instance: str, *, tail: int | None, follow: bool) -> AsyncIterator[str]:
        serving = self._servings.get(key)
        process = serving.process(instance) if serving else None
        if process is None:
            raise NotFoundError(f"serving {key} has no replica {instance!r}")
        if serving and self._processes.get(process) is None:
            message = next((i.message for i in serving.instances() if i.name == instance), "")
            raise FailedPreconditionError(f"replica {instance} has not started yet: {message}", reason="NO_LOG")
        return self._processes.logs(process, tail=tail, follow=follow)

    def watch(self) -> AsyncIterator[ServingKey]:
        """Yield every Serving that has replicas, then every Serving whose instances change. Never ends by itself."""
        return self._changes.watch(tuple(self._servings))

    # Internals

    def _serving(self, key: ServingKey) -> LocalServing:
        if key not in self._servings:
            changed = partial(self._changes.tell, key)
            self._servings[key] = LocalServing(key, partial(self._replica, changed), changed)
        return self._servings[key]

    def _replica(self, changed: Callable[[], None], slot: Slot, record: Record | None) -> Replica:
        return Replica(
            slot,
            launcher=self._launcher,
            prober=self._prober,
            timing=self._timing,
            changed=changed,
            record=record,
        )

    async def _tell_replicas(self) -> None:
        async for process in self._processes.watch():
            for serving in self._servings.values():
                serving.wake(process)
