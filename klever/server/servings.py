"""The custom RPCs of ServingService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from klever.api.filters import parse_filter, parse_order
from klever.api.kinds import Object
from klever.backends import Backend, ServingKey
from klever.controllers.render import ServingRenderer
from klever.errors import FailedPreconditionError, FieldViolation, InvalidError
from klever.server.instances import instance_message
from klever.server.objects import Objects
from klever.server.ordering import sorted_page
from klever.server.requests import object_in, page_size, read_tail, required
from klever.server.rollouts import RolloutHandlers
from klever.traffic.shares import check_shares, read_shares, set_shares
from klever.v1alpha1 import common_pb2, serving_service_pb2
from klever.v1alpha1.serving_pb2 import Serving

__all__ = ["ServingHandlers"]


class ServingHandlers(RolloutHandlers):
    def __init__(self, servings: Objects[Serving], backend: Backend, renderer: ServingRenderer) -> None:
        super().__init__(servings)
        self._backend = backend
        self._renderer = renderer

    async def set_traffic(self, request: serving_service_pb2.SetTrafficRequest) -> Serving:
        if request.undo and request.traffic:
            raise InvalidError(violations=(FieldViolation("traffic", "must be empty with undo"),))

        async def change(serving: Object) -> dict[str, Any]:
            predictors = serving["spec"]["predictors"]  # keeps fields that a newer version of Klever has added
            shares = _previous(serving) if request.undo else dict(request.traffic)
            check_shares(shares, predictors)
            before = None if request.undo else _listed(read_shares(predictors))
            return {"spec": {"predictors": set_shares(predictors, shares), "previousTraffic": before}}

        return await self.change(request, change)

    async def list_instances(
        self, request: serving_service_pb2.ListInstancesRequest
    ) -> serving_service_pb2.ListInstancesResponse:
        message = serving_service_pb2.Instance.DESCRIPTOR
        filter_, order = parse_filter(request.filter, message, "name"), parse_order(request.order_by, message, "name")
        await self._servings.get(request.namespace, request.name)
        found = await self._backend.observe(self._key(request.namespace, request.name))
        items, token = sorted_page(
            [instance for instance in map(instance_message, found) if filter_.matches(instance)],
            order,
            lambda instance: [*order.values_of_message(instance), instance.name],
            size=page_size(request.page_size),
            token=request.page_token,
        )
        return serving_service_pb2.ListInstancesResponse(items=items, next_page_token=token)

    async def stream_logs(
        self, request: serving_service_pb2.ServingServiceStreamLogsRequest
    ) -> AsyncGenerator[common_pb2.LogLine, None]:
        await self._servings.get(request.namespace, request.name)
        key = self._key(request.namespace, request.name)
        names = [i.name for i in await self._backend.observe(key) if request.instance in ("", i.name)]
        if not names:
            wanted = f"instance {request.instance!r}" if request.instance else "instance"
            raise FailedPreconditionError(f"serving {request.name} has no {wanted} at the moment", reason="NO_LOG")
        async for line in self._lines(key, names, request):
            yield line

    async def _lines(
        self, key: ServingKey, names: list[str], request: serving_service_pb2.ServingServiceStreamLogsRequest
    ) -> AsyncGenerator[common_pb2.LogLine, None]:
        """Merge the logs of several instances in the order of arrival. At most 100 lines wait."""
        queue: asyncio.Queue[common_pb2.LogLine | None] = asyncio.Queue(100)
        tail = read_tail(request)

        async def read(name: str) -> None:
            try:
                async for text in self._backend.logs(key, name, tail=tail, follow=request.follow):
                    await queue.put(common_pb2.LogLine(instance=name, text=text))
            except FailedPreconditionError as error:  # it has not started: the others have logs
                if len(names) == 1:
                    raise
                await queue.put(common_pb2.LogLine(instance=name, text=str(error)))

        async def read_all() -> None:
            failed: Exception | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    for name in names:
                        group.create_task(read(name))
            except ExceptionGroup as errors:  # raised below; the first of several errors counts
                failed = errors.exceptions[0]
            await queue.put(None)  # not after a cancel: the queue may be full without a reader
            if failed is not None:
                raise failed

        reader = asyncio.create_task(read_all())
        try:
            while (line := await queue.get()) is not None:
                yield line
            await reader
        finally:
            reader.cancel()

    async def render_serving(
        self, request: serving_service_pb2.RenderServingRequest
    ) -> serving_service_pb2.RenderServingResponse:
        required("serving.metadata.name", request.serving.metadata.name)
        with object_in("serving"):
            files = await self._renderer.render(lambda: self._servings.write(request.serving, request.namespace))
        return serving_service_pb2.RenderServingResponse(
            files=[serving_service_pb2.RenderedFile(path=path, content=content) for path, content in files.items()]
        )

    def _key(self, namespace: str, name: str) -> ServingKey:
        key = self._servings.key(namespace, name)
        return ServingKey(key.namespace, key.name)


def _previous(serving: Object) -> dict[str, int]:
    """Return the shares before the last change. An undo is possible once."""
    metadata = serving["metadata"]
    previous = serving["spec"].get("previousTraffic")
    if not previous:
        raise FailedPreconditionError(
            f"nothing to undo: the traffic of serving {metadata['name']} has not changed since",
            reason="NOTHING_TO_UNDO",
        )
    return {share["predictor"]: share["percent"] for share in previous}


def _listed(shares: dict[str, int]) -> list[dict[str, Any]]:
    return [{"predictor": name, "percent": percent} for name, percent in shares.items()]
