"""What watchers of the API are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from klever.api.kinds import MODEL_JOB, Object
from klever.server.objects import Objects
from klever.server.watches import Watches
from klever.store import WatchEvent
from klever.v1alpha1.job_service_pb2 import WatchModelJobsRequest, WatchModelJobsResponse
from klever.v1alpha1.modeljob_pb2 import ModelJob


def job(name: str) -> Object:
    metadata = {"namespace": "team", "name": name, "uid": f"uid-of-{name}", "resourceVersion": "7"}
    return {"apiVersion": MODEL_JOB.api_version, "kind": "ModelJob", "metadata": metadata}


class Restored:
    """A store over an API server that was restored: it gives versions out again."""

    async def watch(self, *_: object, **__: object) -> AsyncIterator[WatchEvent]:
        yield WatchEvent.of("ADDED", job("before"))
        yield WatchEvent.of("ADDED", job("after"))


async def test_objects_of_one_version_are_told_apart() -> None:
    store: Any = Restored()
    told = Watches(Objects[ModelJob](store, MODEL_JOB)).watch(
        WatchModelJobsRequest(namespace="team"), WatchModelJobsResponse
    )
    names = [WatchModelJobsResponse.FromString(event).object.metadata.name async for event in told]
    assert names == ["before", "after"]
