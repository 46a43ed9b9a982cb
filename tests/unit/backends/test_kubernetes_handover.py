"""The number of replicas goes from Klever to an autoscaler without a gap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from klever.api.kinds import Kind, Object
from klever.backends import Autoscaling
from klever.backends.kubernetes.handover import hand_over
from klever.backends.kubernetes.manifests import AUTOSCALED, deployment
from klever.kube.client import KubeClient
from tests.unit.backends.test_kubernetes_objects import IMAGE, PREDICTOR, SETTINGS, WORKLOAD

SCALED = replace(PREDICTOR, autoscaling=Autoscaling(2, 5, cpu=80))


class Recorder:
    """A client that keeps what is applied."""

    def __init__(self) -> None:
        self.applied: list[tuple[str, Object]] = []

    async def apply(self, _: Kind, obj: Object, *, manager: str = "klever") -> Object:
        self.applied.append((manager, obj))
        return obj


async def handed_over(live: Object | None, predictor: Any = SCALED) -> list[tuple[str, Object]]:
    recorder = Recorder()
    wanted = deployment(WORKLOAD, predictor, IMAGE, SETTINGS)
    await hand_over(cast("KubeClient", recorder), live, wanted, predictor)
    return recorder.applied


async def test_a_new_deployment_begins_with_the_least_replicas_of_another_manager() -> None:
    (own, whole), (other, part) = await handed_over(None)
    assert (own, other) == ("klever", "klever-autoscaling")
    assert whole["spec"]["replicas"] == 2
    assert AUTOSCALED not in whole["metadata"]["annotations"]
    assert part["spec"] == {"replicas": 2}


async def test_a_deployment_that_had_a_fixed_number_keeps_it() -> None:
    live = deployment(WORKLOAD, replace(PREDICTOR, replicas=4), IMAGE, SETTINGS)
    assert [obj["spec"]["replicas"] for _, obj in await handed_over(live)] == [4, 4]


async def test_an_autoscaled_deployment_is_left_to_its_autoscaler() -> None:
    assert not await handed_over(deployment(WORKLOAD, SCALED, IMAGE, SETTINGS))
    assert not await handed_over(None, PREDICTOR)
