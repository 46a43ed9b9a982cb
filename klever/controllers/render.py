"""Renders the files of a Serving without creating anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from klever.api.kinds import SERVING, Object
from klever.backends import Backend, PredictorWorkload, Rendering, ServingKey
from klever.controllers.serving.models import ModelResolver
from klever.controllers.serving.plan import make_plan
from klever.controllers.serving.snapshot import Resolution, Snapshot
from klever.controllers.serving.workloads import find_violations
from klever.errors import FailedPreconditionError, FieldViolation, InvalidError
from klever.limits import Limits
from klever.oci.reference import Reference
from klever.routers import Router
from klever.store.admission import Admission

__all__ = ["ServingRenderer"]


class ServingRenderer:
    """Readers may render, so `admission` rejects what the store would reject, and `limits` bounds concurrent renders.

    A render pulls no model, and asks only the platform's registry and the configured `hosts`.
    """

    def __init__(
        self,
        models: ModelResolver,
        backend: Backend,
        router: Router,
        *,
        admission: Admission,
        limits: Limits,
        hosts: Collection[str],
    ) -> None:
        self._models = models
        self._backend = backend
        self._router = router
        self._admission = admission
        self._limits = limits
        self._hosts = hosts
        self._rendering = 0

    async def render(self, read: Callable[[], Object]) -> dict[str, str]:
        """Return the generated files, by path, of the Serving from `read`, which runs in a thread because it may be
        large.

        Raises `InvalidError` for a Serving that the store or the backend rejects, `FailedPreconditionError` for a model
        that is not resolved, `ExhaustedError` while too many renders run.
        """
        with self._turn():
            serving = await asyncio.to_thread(lambda: self._admission.admit(SERVING, read(), None, ""))
            snapshot = await self._snapshot(serving)
            wanted = make_plan(snapshot).wanted
            renderings = [await self._render(snapshot, workload) for workload in wanted]
            files = {
                f"{workload.predictor}/{path}": text
                for workload, rendering in zip(wanted, renderings, strict=True)
                for path, text in rendering.files.items()
            }
            return files | await asyncio.to_thread(self._route, snapshot, renderings)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._limits.admit("concurrent_renders", self._rendering, "RenderServing")
        self._rendering += 1
        try:
            yield
        finally:
            self._rendering -= 1

    def _check_hosts(self, serving: Object) -> None:
        for predictor in serving["spec"]["predictors"]:
            host = Reference.parse(predictor["model"]).host if predictor.get("model") else ""
            if host and host not in self._hosts:
                raise FailedPreconditionError(
                    f"spec.predictors[{predictor['name']}].model: a render uses configured registries only: add "
                    f"{host} to the registries table, or push the model to the platform",
                    reason="REGISTRY_NOT_CONFIGURED",
                )

    async def _snapshot(self, serving: Object) -> Snapshot:
        self._check_hosts(serving)
        models = await self._models.resolve(serving)
        violations = find_violations(serving["spec"]["predictors"], models, self._backend.check, self._router.check)
        snapshot = Snapshot(serving, models, (), None, "", datetime.now(UTC), violations)
        _check(serving, snapshot)
        return snapshot

    async def _render(self, snapshot: Snapshot, workload: PredictorWorkload) -> Rendering:
        metadata = snapshot.serving["metadata"]
        version = snapshot.models[workload.predictor].version
        files = [name.removeprefix("model/") for name in version.metadata.files] if version else []
        return await self._backend.render(ServingKey(metadata["namespace"], metadata["name"]), workload, files)

    def _route(self, snapshot: Snapshot, renderings: list[Rendering]) -> dict[str, str]:
        ready = tuple(rendering.instance for rendering in renderings)
        route = make_plan(replace(snapshot, instances=ready)).route
        return {f"gateway/{name}": text for name, text in self._router.render(route).items()}


def _check(serving: Object, snapshot: Snapshot) -> None:
    for name, model in snapshot.models.items():
        if model.state is not Resolution.RESOLVED:
            raise FailedPreconditionError(f"spec.predictors[{name}]: {model.message}", reason="MODEL_NOT_READY")
    violations = tuple(
        FieldViolation(f"spec.predictors[{index}].{violation.field}", violation.description)
        for index, predictor in enumerate(serving["spec"]["predictors"])
        for violation in snapshot.violations.get(predictor["name"], ())
    )
    if violations:
        raise InvalidError(violations=violations)
