"""Promotes, rolls back and scales Servings. Each call changes only the fields that it concerns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from klever.api.codec import from_object
from klever.api.filters import parse_filter, parse_order
from klever.api.kinds import SERVING, SERVING_REVISION, Object
from klever.controllers.serving.revisions import (
    earlier,
    is_owned,
    read_number,
    read_pins,
    restored_predictors,
    runs,
    with_digest,
)
from klever.errors import ConflictError, FailedPreconditionError, FieldViolation, InvalidError, NotFoundError
from klever.server.objects import Objects
from klever.server.ordering import sorted_page
from klever.server.requests import page_size
from klever.traffic.rollouts import CANARY, abort, find, promote, scale
from klever.v1alpha1 import serving_service_pb2 as pb
from klever.v1alpha1.revision_pb2 import ServingRevision
from klever.v1alpha1.serving_pb2 import Serving

__all__ = ["RolloutHandlers"]

_ATTEMPTS: Final = 20
"""The maximum number of retries of a change that conflicts with another write, such as one of the status."""

Change = Callable[[Object], Awaitable[dict[str, Any]]]
"""Computes a merge patch from the current Serving."""


class RolloutHandlers:
    def __init__(self, servings: Objects[Serving]) -> None:
        self._servings = servings

    async def list_serving_revisions(self, request: pb.ListServingRevisionsRequest) -> pb.ListServingRevisionsResponse:
        filter_ = parse_filter(request.filter, ServingRevision.DESCRIPTOR)
        order = parse_order(request.order_by, ServingRevision.DESCRIPTOR, "metadata.name")
        serving = await self._get(request)
        found = [from_object(r, ServingRevision) for r in await self._revisions(serving) if is_owned(r, serving)]
        items, token = sorted_page(
            [revision for revision in found if filter_.matches(revision)],
            order,
            lambda revision: [*order.values_of_message(revision), revision.metadata.name],
            size=page_size(request.page_size),
            token=request.page_token,
        )
        return pb.ListServingRevisionsResponse(items=items, next_page_token=token)

    async def rollback_serving(self, request: pb.RollbackServingRequest) -> Serving:
        async def change(serving: Object) -> dict[str, Any]:
            revision = await self._target(serving, request.number)
            return _predictors(restored_predictors(revision))

        return await self.change(request, change)

    async def promote_serving(self, request: pb.PromoteServingRequest) -> Serving:
        name = request.predictor or CANARY

        async def change(serving: Object) -> dict[str, Any]:
            _check_ready(serving, find(serving["spec"]["predictors"], name))
            pins = {p["name"]: p["digest"] for p in serving["status"]["predictors"] if p.get("digest")}
            pinned = [
                {**p, "model": with_digest(p["model"], pins[name])} if p["name"] == name and name in pins else p
                for p in serving["spec"]["predictors"]
            ]
            return _predictors(promote(pinned, name, serving["spec"].get("replicas", 1)))

        return await self.change(request, change)

    async def abort_serving(self, request: pb.AbortServingRequest) -> Serving:
        async def change(serving: Object) -> dict[str, Any]:
            return _predictors(abort(serving["spec"]["predictors"], request.predictor or CANARY))

        return await self.change(request, change)

    async def scale_serving(self, request: pb.ScaleServingRequest) -> Serving:
        if request.replicas < 0:
            raise InvalidError(violations=(FieldViolation("replicas", f"must be 0 or more, not {request.replicas}"),))

        async def change(serving: Object) -> dict[str, Any]:
            return {"spec": scale(serving["spec"], request.predictor, request.replicas)}

        return await self.change(request, change)

    async def _get(self, request: Any) -> Object:
        return await self._servings.store.get(SERVING, self._servings.key(request.namespace, request.name))

    async def change(self, request: Any, change: Change) -> Serving:
        """Change the current Serving. Raise `ConflictError` if the request names another version."""
        key = self._servings.key(request.namespace, request.name)
        for attempt in range(1, _ATTEMPTS + 1):
            serving = await self._servings.store.get(SERVING, key)
            if request.uid not in ("", serving["metadata"]["uid"]):
                raise ConflictError(f"serving {key} was deleted and created again: its uid differs")
            patch = await change(serving)
            metadata = patch.setdefault("metadata", {})
            metadata["resourceVersion"] = request.resource_version or serving["metadata"]["resourceVersion"]
            metadata["uid"] = serving["metadata"]["uid"]
            try:
                return await self._servings.patch(key, patch, dry_run=request.validate_only)
            except ConflictError:
                if request.resource_version or attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _target(self, serving: Object, number: int) -> Object:
        """Return the revision with this number. For 0 return the target of a rollback."""
        revisions = [r for r in await self._revisions(serving) if is_owned(r, serving)]
        name = serving["metadata"]["name"]
        if number:
            found = next((r for r in revisions if read_number(r) == number), None)
            if found is None:
                kept = ", ".join(str(n) for n in sorted(map(read_number, revisions))) or "none"
                raise NotFoundError(f"serving {name} has no revision {number}: must be one of {kept}")
            return found
        current = int(serving.get("status", {}).get("revision", 0))
        last = next((r for r in revisions if read_number(r) == current), None)
        if last is not None and not runs(last, serving["spec"]["predictors"], read_pins(serving)):
            return last
        previous = earlier(revisions, current)
        if previous is None:
            raise FailedPreconditionError(f"serving {name} has no earlier revision", reason="NO_EARLIER_REVISION")
        return previous

    async def _revisions(self, serving: Object) -> Sequence[Object]:
        metadata = serving["metadata"]
        selector = f"spec.serving={metadata['name']}"
        page = await self._servings.store.list(SERVING_REVISION, metadata["namespace"], fields=selector)
        return page.items


def _predictors(predictors: list[dict[str, Any]]) -> dict[str, Any]:
    return {"spec": {"predictors": predictors}}


def _check_ready(serving: Object, predictor: dict[str, Any]) -> None:
    """Raise `FailedPreconditionError` unless the predictor serves its current spec."""
    status = serving.get("status", {})
    seen: Object = next((p for p in status.get("predictors", ()) if p["name"] == predictor["name"]), {})
    if status.get("observedGeneration") == serving["metadata"]["generation"] and seen.get("ready"):
        return
    why = seen.get("message") or "it has not answered yet"
    raise FailedPreconditionError(f"predictor {predictor['name']} is not ready: {why}", reason="NOT_READY")
