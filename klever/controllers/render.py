"""Says what would be generated for a Serving, without creating anything."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath

from klever.api.codec import to_object
from klever.backends import PredictorWorkload
from klever.controllers.serving.models import ModelResolver
from klever.controllers.serving.plan import make_plan
from klever.controllers.serving.snapshot import Resolution, Snapshot
from klever.errors import FailedPreconditionError
from klever.runtimes import Model, Placement, Runtime
from klever.v1alpha1.serving_pb2 import Serving

__all__ = ["ServingRenderer"]


class ServingRenderer:
    """`files` lists a pinned model's files; `runtimes` are the runtimes as the backend has them."""

    def __init__(
        self,
        models: ModelResolver,
        runtimes: Callable[[str], Runtime],
        files: Callable[[PredictorWorkload], Awaitable[tuple[str, ...]]],
    ) -> None:
        self._models = models
        self._runtimes = runtimes
        self._files = files

    async def render(self, serving: Serving) -> dict[str, str]:
        """Return generated files by path. Raises `FailedPreconditionError` for a model that is not there."""
        obj = to_object(serving)
        models = await self._models.resolve(obj)
        for name, model in models.items():
            if model.state is not Resolution.RESOLVED:
                raise FailedPreconditionError(f"spec.predictors[{name}]: {model.message}", reason="MODEL_NOT_READY")
        plan = make_plan(Snapshot(obj, models, (), None, "", datetime.now(UTC)))
        rendered: dict[str, str] = {}
        for workload in plan.wanted:
            rendered |= await self._predictor(serving.metadata.name, workload)
        shares = {p.name: p.share if p.share is not None else [str(h) for h in p.headers] for p in plan.predictors}
        return rendered | {"route.json": json.dumps(shares, indent=2) + "\n"}

    async def _predictor(self, name: str, workload: PredictorWorkload) -> dict[str, str]:
        runtime = self._runtimes(workload.runtime)
        files = await self._files(workload) if workload.model else ()
        model = Model(name, workload.format, files, workload.signature)
        at = Placement(
            host="127.0.0.1",
            http_port=8000,
            grpc_port=8001,
            metrics_port=8002,
            store=PurePosixPath("/mnt"),
            model=PurePosixPath("/models"),
            environment=PurePosixPath("/environment"),
            env=workload.env,
            command=workload.command,
            probe_path=workload.probe_path,
        )
        launch = runtime.launch(model, at)
        rendered = {
            f"{workload.predictor}/{path}": content.decode()
            for path, content in launch.files.items()
            if path.endswith((".pbtxt", ".json"))
        }
        return rendered | {f"{workload.predictor}/command": " ".join(launch.argv) + "\n"}
