"""Says what would be generated for a Serving, without creating anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from klever.api.codec import to_object
from klever.backends import Instance, InstancePhase, PredictorWorkload
from klever.controllers.serving.models import ModelResolver
from klever.controllers.serving.plan import make_plan
from klever.controllers.serving.snapshot import Resolution, Snapshot
from klever.errors import FailedPreconditionError
from klever.routers import Router
from klever.runtimes import Launch, Model, Placement, Runtime
from klever.v1alpha1.serving_pb2 import Serving

__all__ = ["ServingRenderer"]

_HOST = "127.0.0.1"
_HTTP, _GRPC, _METRICS = 8000, 8001, 8002


class ServingRenderer:
    """`files` lists a pinned model's files; `runtimes` are the runtimes as the backend has them.

    Where something runs is not known yet: ports and directories are those of a container.
    """

    def __init__(
        self,
        models: ModelResolver,
        runtimes: Callable[[str], Runtime],
        files: Callable[[PredictorWorkload], Awaitable[tuple[str, ...]]],
        router: Router,
    ) -> None:
        self._models = models
        self._runtimes = runtimes
        self._files = files
        self._router = router

    async def render(self, serving: Serving) -> dict[str, str]:
        """Return generated files by path. Raises `FailedPreconditionError` for a model that is not there."""
        obj = to_object(serving)
        models = await self._models.resolve(obj, extract=False)
        for name, model in models.items():
            if model.state is not Resolution.RESOLVED:
                raise FailedPreconditionError(f"spec.predictors[{name}]: {model.message}", reason="MODEL_NOT_READY")
        snapshot = Snapshot(obj, models, (), None, "", datetime.now(UTC))
        wanted = make_plan(snapshot).wanted
        launches = [await self._launch(serving.metadata.name, workload) for workload in wanted]
        ready = tuple(map(_ready, wanted, launches))
        route = make_plan(replace(snapshot, instances=ready)).route
        files = {f"gateway/{name}": text for name, text in self._router.render(route).items()}
        return {path: text for pair in zip(wanted, launches, strict=True) for path, text in _files(*pair)} | files

    async def _launch(self, name: str, workload: PredictorWorkload) -> Launch:
        files = await self._files(workload) if workload.model else ()
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
