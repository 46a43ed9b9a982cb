"""Reconciles one Serving: gathers a snapshot, plans, and applies the plan, make before break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from klever.api.kinds import SERVING, Object
from klever.backends import Backend, ServingKey, Workload
from klever.controllers.inspections import allows_code
from klever.controllers.jobs import apply_job
from klever.controllers.report import report
from klever.controllers.serving.happenings import crash_events, status_events
from klever.controllers.serving.history import RevisionHistory
from klever.controllers.serving.models import ModelResolver
from klever.controllers.serving.plan import Plan, make_plan
from klever.controllers.serving.progress import is_progressing, time_left
from klever.controllers.serving.replicas import Replicas
from klever.controllers.serving.revisions import pinned_predictors, runs
from klever.controllers.serving.snapshot import Fallback, Resolution, ResolvedModel, Snapshot
from klever.controllers.serving.status import build_status, deleting_status
from klever.controllers.serving.workloads import build_workload, find_violations
from klever.errors import AlreadyExistsError, InvalidError, KleverError, NotFoundError
from klever.formats import Trust
from klever.reconcile.finalizers import hold, is_held, release
from klever.reconcile.runner import Result
from klever.routers import RouteKey, Router
from klever.store import Key, Store
from klever.store.events import EventRecorder
from klever.traffic.replicas import with_replicas
from klever.traffic.shares import read_shares

__all__ = ["FINALIZER", "ServingReconciler"]

FINALIZER = "kleveross.io/serving"
_ASK_AGAIN_SECONDS = 2.0
_SOON_SECONDS = 0.1
_LOOKED_AT_AGAIN = (Resolution.WAITING, Resolution.SIGNATURE_PENDING, Resolution.CONVERTING)


class ServingReconciler:
    def __init__(
        self,
        store: Store,
        models: ModelResolver,
        backend: Backend,
        router: Router,
        events: EventRecorder,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._models = models
        self._backend = backend
        self._router = router
        self._events = events
        self._history = RevisionHistory(store)
        self._clock = clock

    async def reconcile(self, key: Key) -> Result:
        try:
            serving = await self._store.get(SERVING, key)
        except NotFoundError:
            await self._remove(key)
            return Result()
        if "deletionTimestamp" in serving["metadata"]:
            if is_held(serving, FINALIZER):
                await self._report(key, serving, deleting_status(serving, self._clock()))
            await self._remove(key)
            await release(self._store, SERVING, serving, FINALIZER)
            return Result()
        if not is_held(serving, FINALIZER):
            await hold(self._store, SERVING, serving, FINALIZER)
            return Result(0)
        return await self._converge(key, serving)

    async def _converge(self, key: Key, serving: Object) -> Result:
        snapshot = await self._gather(key, serving)
        plan = make_plan(snapshot)
        try:
            await self._apply(key, snapshot, plan)
        except KleverError as error:
            refused = isinstance(error, InvalidError)
            failed = plan.failed(snapshot, error.message, refused=refused)
            await self._report(key, serving, build_status(snapshot, failed))
            await self._tell_crashes(snapshot)
            if not refused:
                raise  # transient: the next round tries again
            return Result()
        status = await self._recorded(snapshot, plan, build_status(snapshot, plan))
        await self._report(key, serving, status)
        await self._tell_crashes(snapshot)
        return Result(_next_look(snapshot, status))

    async def _recorded(self, snapshot: Snapshot, plan: Plan, status: dict[str, Any]) -> dict[str, Any]:
        """Record the spec as a revision if it is Ready. Return the status with the last revision that was Ready."""
        serving = snapshot.serving
        if status["phase"] == "ScaledToZero":
            await self._history.end(serving, snapshot.now)
        if status["phase"] != "Ready":
            await self._note_gap(snapshot, plan)
            return status
        versions = {name: model.version for name, model in snapshot.models.items()}
        number = await self._history.record(serving, versions, snapshot.now)
        return status | {"revision": number}

    async def _note_gap(self, snapshot: Snapshot, plan: Plan) -> None:
        """Record whether the last good revision serves, where Recreate has ended its processes."""
        live = {target.workload for target in plan.route.targets if target.http}
        if not live.isdisjoint(fallback.workload.id for fallback in snapshot.last_good.values()):
            await self._history.resume(snapshot.serving, snapshot.now)
        elif snapshot.last_good and any(predictor.gap for predictor in plan.predictors):
            await self._history.interrupt(snapshot.serving, snapshot.now)

    async def _last_good(self, serving: Object, models: Mapping[str, ResolvedModel]) -> dict[str, Fallback]:
        """Return the workloads of the last good revision. Empty if the spec and its pins equal that revision."""
        revision = await self._history.last_good(serving)
        pins = {name: str(model.version.pinned) for name, model in models.items() if model.version is not None}
        if revision is None or runs(revision, serving["spec"]["predictors"], pins):
            return {}
        predictors = pinned_predictors(revision)
        resolved = await self._models.resolve_predictors(serving["metadata"]["namespace"], predictors)
        return dict(_fallbacks(with_replicas({**serving["spec"], "predictors": predictors}), resolved))

    async def _gather(self, key: Key, serving: Object) -> Snapshot:
        route_key = RouteKey(key.namespace, key.name)
        routes = await self._router.routes()
        instances = await self._backend.observe(ServingKey(key.namespace, key.name))
        if not await allows_code(self._store, key.namespace):  # its workloads end like any that no spec names
            instances = tuple(i for i in instances if i.trust is not Trust.CODE)
        models = await self._models.resolve(serving)
        return Snapshot(
            serving=serving,
            models=models,
            violations=find_violations(serving["spec"]["predictors"], models, self._backend.check, self._router.check),
            instances=instances,
            route=next((r for r in routes if r.key == route_key), None),
            url=self._router.url(route_key),
            now=self._clock(),
            last_good=await self._last_good(serving, models),
        )

    async def _apply(self, key: Key, snapshot: Snapshot, plan: Plan) -> None:
        uid = snapshot.serving["metadata"]["uid"]
        retired = frozenset(plan.retired)
        workload = Workload(
            ServingKey(key.namespace, key.name),
            uid,
            plan.running,
            plan.keep | retired,
            plan.route.shares,
            after_the_old=plan.recreates,
        )
        replicas = Replicas(snapshot.instances)  # surplus replicas take requests until the route is published
        first = replace(workload, predictors=tuple(map(replicas.with_surplus, plan.running)))
        if self._backend.routes_shares:  # if both routes match a request, the older one wins
            matches = tuple(t for t in plan.route.targets if t.matches)
            await self._router.publish(replace(plan.route, targets=matches))
            await self._backend.ensure(workload)
        else:
            await self._backend.ensure(first)
            await self._router.publish(plan.route)
        for retiring in plan.retired:
            await self._router.drain(plan.route.key, retiring)
        if first != workload or retired - {w.id for w in plan.running}:
            await self._backend.ensure(replace(workload, keep=plan.keep))
        for model in snapshot.models.values():
            if model.job is not None:
                with suppress(AlreadyExistsError):  # another Serving or a push has created it meanwhile
                    await apply_job(self._store, model.job)

    async def _report(self, key: Key, serving: Object, status: dict[str, Any]) -> None:
        old, uid, deleting = serving.get("status", {}), serving["metadata"]["uid"], status["phase"] == "Deleting"
        if old == status or not await report(self._store, SERVING, key, uid, status, deleting=deleting):
            return
        for happened in status_events(old, status):
            await self._events.record(serving, *happened)

    async def _tell_crashes(self, snapshot: Snapshot) -> None:
        for happened in crash_events(snapshot):
            await self._events.record(snapshot.serving, *happened)

    async def _remove(self, key: Key) -> None:
        await self._router.withdraw(RouteKey(key.namespace, key.name))
        await self._backend.remove(ServingKey(key.namespace, key.name))


def _next_look(snapshot: Snapshot, status: dict[str, Any]) -> float | None:
    """Return the seconds until the next look at the Serving if no event comes first. None means never."""
    # A job may be deleted, or end without an event, so a Serving that waits for one looks again as well.
    if any(model.state in _LOOKED_AT_AGAIN for model in snapshot.models.values()):
        return _ASK_AGAIN_SECONDS
    if is_progressing(status):
        return max(time_left(snapshot, status["progressTime"]).total_seconds(), _SOON_SECONDS)
    return None


def _fallbacks(predictors: list[dict[str, Any]], models: Mapping[str, ResolvedModel]) -> Iterator[tuple[str, Fallback]]:
    shares = read_shares(predictors)
    for predictor in predictors:
        name, model = predictor["name"], models[predictor["name"]]
        if model.state is Resolution.RESOLVED:
            yield name, Fallback(build_workload(predictor, model), model.protocol, shares.get(name))
