"""Says what would be generated for a Serving, without creating anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from klever.api.kinds import SERVING, Object
from klever.backends import Instance, InstancePhase, PredictorWorkload
from klever.controllers.serving.models import ModelResolver
from klever.controllers.serving.plan import make_plan
from klever.controllers.serving.snapshot import Resolution, Snapshot
from klever.errors import FailedPreconditionError
from klever.limits import Limits
from klever.routers import Router
from klever.runtimes import Launch, Model, Placement, Runtime
from klever.store.admission import Admission

__all__ = ["ServingRenderer"]

_HOST = "127.0.0.1"
_HTTP, _GRPC, _METRICS = 8000, 8001, 8002


class ServingRenderer:
    """`files` lists a pinned model's files; `runtimes` are the runtimes as the backend has them.

    Where something runs is not known yet: ports and directories are those of a container. Whoever may read may render,
    so `admission` refuses what the store would not keep, and `limits` bounds how many renders run at a time.
    """

    def __init__(
        self,
        models: ModelResolver,
        runtimes: Callable[[str], Runtime],
        files: Callable[[PredictorWorkload], Awaitable[tuple[str, ...]]],
        router: Router,
        *,
        admission: Admission,
        limits: Limits,
    ) -> None:
        self._models = models
        self._runtimes = runtimes
        self._files = files
        self._router = router
        self._admission = admission
        self._limits = limits
        self._rendering = 0

    async def render(self, read: Callable[[], Object]) -> dict[str, str]:
        """Return generated files by path for the Serving that `read` makes; large ones take a while, in a thread.

        Raises `InvalidError` for a Serving that the store would refuse, `FailedPreconditionError` for a model that is
        not there, `ExhaustedError` while too many others render.
        """
        with self._turn():
            serving = await asyncio.to_thread(lambda: self._admission.admit(SERVING, read(), None, ""))
            snapshot = await self._snapshot(serving)
            files = [await self._files(w) if w.model else () for w in make_plan(snapshot).wanted]
            return await asyncio.to_thread(self._generate, snapshot, files)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._limits.admit("concurrent_renders", self._rendering, "RenderServing")
        self._rendering += 1
        try:
            yield
        finally:
            self._rendering -= 1

    async def _snapshot(self, serving: Object) -> Snapshot:
        models = await self._models.resolve(serving)
        for name, model in models.items():
            if model.state is not Resolution.RESOLVED:
                raise FailedPreconditionError(f"spec.predictors[{name}]: {model.message}", reason="MODEL_NOT_READY")
        return Snapshot(serving, models, (), None, "", datetime.now(UTC))

    def _generate(self, snapshot: Snapshot, files: list[tuple[str, ...]]) -> dict[str, str]:
        wanted = make_plan(snapshot).wanted
        name = snapshot.serving["metadata"]["name"]
        launches = [self._launch(name, *pair) for pair in zip(wanted, files, strict=True)]
        ready = tuple(map(_ready, wanted, launches))
        route = make_plan(replace(snapshot, instances=ready)).route
        rendered = {path: text for pair in zip(wanted, launches, strict=True) for path, text in _files(*pair)}
        return rendered | {f"gateway/{name}": text for name, text in self._router.render(route).items()}

    def _launch(self, name: str, workload: PredictorWorkload, files: tuple[str, ...]) -> Launch:
        model = Model(name, workload.format, files, workload.signature)
        at = Placement(
            host=_HOST,
            http_port=_HTTP,
            grpc_port=_GRPC,
            metrics_port=_METRICS,
            store=PurePosixPath("/mnt"),
            work=PurePosixPath("/tmp"),  # noqa: S108 - of a container
            model=PurePosixPath("/models"),
            environment=PurePosixPath("/environment"),
            env=workload.env,
            command=workload.command,
            probe_path=workload.probe_path,
        )
        return self._runtimes(workload.runtime).launch(model, at)


def _files(workload: PredictorWorkload, launch: Launch) -> Iterator[tuple[str, str]]:
    for path, content in launch.files.items():
        if path.endswith((".pbtxt", ".json")):
            yield f"{workload.predictor}/{path}", content.decode()
    yield f"{workload.predictor}/command", " ".join(launch.argv) + "\n"


def _ready(workload: PredictorWorkload, launch: Launch) -> Instance:
    return Instance(
        name=workload.predictor,
        predictor=workload.predictor,
        revision=workload.revision,
        phase=InstancePhase.READY,
        http=launch.http,
        grpc=launch.grpc,
    )
