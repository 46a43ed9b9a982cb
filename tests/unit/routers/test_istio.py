"""What the Istio router does with its objects. Its traffic is tested on a real cluster, in tests/e2e."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from klever.errors import FailedPreconditionError, InvalidError, UnavailableError
from klever.kube import KubeClient
from klever.kube.kinds import DESTINATION_RULE, ENVOY_FILTER, GATEWAY, SERVICE_ENTRY, VIRTUAL_SERVICE
from klever.routers import Route, RouteKey, Target
from klever.routers.istio import IstioRouter, IstioSettings
from klever.runtimes import Guard
from klever.runtimes.protocols import OPEN_INFERENCE
from tests.unit.kube.faulty import eventually
from tests.unit.routers.fake_istio import FakeCluster, FakeGateway

KEY = RouteKey("team", "digits")
ROUTED = (DESTINATION_RULE, SERVICE_ENTRY, VIRTUAL_SERVICE)


def route(workload: str = "r1", address: str = "10.0.0.1", *, guard: Guard = Guard.NONE) -> Route:
    target = Target("main", workload, OPEN_INFERENCE, 100, (f"{address}:8000",), guard=guard)
    return Route(KEY, (target,), owner="u1")


class Rig:
    def __init__(self, cluster: FakeCluster, gateway: FakeGateway) -> None:
        self.cluster, self.gateway = cluster, gateway
        self.settings = IstioSettings(gateway.url, drain_s=0.2, settle_s=0.0, live_s=2.0)

    def router(self, **changes: Any) -> IstioRouter:
        return IstioRouter(cast("KubeClient", self.cluster), replace(self.settings, **changes))

    def routed(self) -> list[str]:
        return [name for kind in ROUTED for name in self.cluster.names(kind)]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    cluster = FakeCluster()
    cluster.service("digits-r1", "10.0.0.1")
    cluster.service("digits-r2", "10.0.0.2")
    gateway = FakeGateway(cluster)
    runner = await gateway.start()
    yield Rig(cluster, gateway)
    await runner.cleanup()


async def test_a_cluster_without_istio_is_named(rig: Rig) -> None:
    rig.cluster.missing = DESTINATION_RULE
    with pytest.raises(FailedPreconditionError, match=r"has no DestinationRule of networking\.istio\.io/v1"):
        async with rig.router():
            pass


async def test_objects_belong_to_the_serving_and_leave_with_its_route(rig: Rig) -> None:
    async with rig.router() as router:
        await router.publish(route())
        made = [obj for (kind, _, _), obj in rig.cluster.objects.items() if kind in ROUTED]
        assert [obj["metadata"]["ownerReferences"][0]["uid"] for obj in made] == ["u1"] * 2
        assert {obj["metadata"]["namespace"] for obj in made} == {"team"}
        await router.withdraw(KEY)
        assert rig.routed() == []
        assert await router.routes() == ()
    assert rig.cluster.names(GATEWAY) == ["klever"]


async def test_an_existing_gateway_is_used(rig: Rig) -> None:
    async with rig.router(gateway="istio-system/models") as router:
        await router.publish(route())
    assert rig.cluster.names(GATEWAY) == []
    service = rig.cluster.objects[VIRTUAL_SERVICE, "team", "digits"]
    assert service["spec"]["gateways"] == ["istio-system/models"]


async def test_an_equal_route_costs_nothing_even_after_a_restart(rig: Rig) -> None:
    async with rig.router() as router:
        await router.publish(route())
    rig.cluster.applied.clear()
    async with rig.router() as router:
        assert await router.routes() == (route(),)
        await router.publish(route())
    assert rig.cluster.applied == []


@pytest.mark.parametrize("kind", [VIRTUAL_SERVICE, DESTINATION_RULE])
async def test_a_change_while_nobody_looked_is_put_right(rig: Rig, kind: Any) -> None:
    async with rig.router() as router:
        await router.publish(route())
    (address,) = [address for address in rig.cluster.objects if address[0] is kind]
    wanted = rig.cluster.objects[address]["spec"]
    rig.cluster.put(kind, {**rig.cluster.objects[address], "spec": {**wanted, "exportTo": ["."]}})
    async with rig.router() as router:
        assert await router.routes() == ()
        await router.publish(route())
        assert rig.cluster.objects[address]["spec"] == wanted


@pytest.mark.parametrize("kind", [VIRTUAL_SERVICE, DESTINATION_RULE, ENVOY_FILTER, GATEWAY])
async def test_drift_is_repaired(rig: Rig, kind: Any) -> None:
    async with rig.router() as router:
        await router.publish(route())
        (address,) = [address for address in rig.cluster.objects if address[0] is kind]
        wanted = rig.cluster.objects[address]
        rig.cluster.put(kind, {**wanted, "spec": {**wanted["spec"], next(iter(wanted["spec"])): "changed"}})
        await eventually(lambda: rig.cluster.objects[address]["spec"] == wanted["spec"])
        rig.cluster.drop(*address)
        await eventually(lambda: address in rig.cluster.objects)
        rig.cluster.put(kind, {**wanted, "spec": {**wanted["spec"], "added": "by others"}})
        await asyncio.sleep(0.1)
        assert rig.cluster.objects[address]["spec"]["added"] == "by others"


async def test_a_repair_that_fails_is_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klever.routers.istio.objects._AGAIN_S", 0.05)
    async with rig.router() as router:
        await router.publish(route())
        rig.cluster.failures = [UnavailableError("away"), UnavailableError("away")]
        rig.cluster.drop(VIRTUAL_SERVICE, "team", "digits")
        await eventually(lambda: rig.cluster.names(VIRTUAL_SERVICE) == ["digits"])


async def test_a_gateway_that_does_not_follow_leaves_the_old_route(rig: Rig) -> None:
    async with rig.router(live_s=0.3) as router:
        await router.publish(route())
        before = rig.cluster.objects[VIRTUAL_SERVICE, "team", "digits"]["spec"]
        rig.gateway.stick()
        with pytest.raises(UnavailableError, match="has not applied the route of team/digits"):
            await router.publish(route("r2", "10.0.0.2"))
        assert rig.cluster.objects[VIRTUAL_SERVICE, "team", "digits"]["spec"] == before
        assert await router.routes() == (route(),)
        rig.gateway.stuck = None
        await router.publish(route("r2", "10.0.0.2"))
        await router.drain(KEY, "r1")
        assert len(rig.cluster.names(DESTINATION_RULE)) == 1


async def test_a_first_route_that_the_gateway_does_not_apply_is_removed(rig: Rig) -> None:
    rig.gateway.stuck = {}
    async with rig.router(live_s=0.3) as router:
        with pytest.raises(UnavailableError):
            await router.publish(route())
        assert rig.cluster.names(VIRTUAL_SERVICE) == []


async def test_an_api_server_that_refuses_the_objects_leaves_the_old_route(rig: Rig) -> None:
    async with rig.router() as router:
        await router.publish(route())
        rig.cluster.failures = [InvalidError("admission webhook denied the request")]
        with pytest.raises(InvalidError, match="webhook"):
            await router.publish(route("r2", "10.0.0.2"))
        assert await router.routes() == (route(),)


async def test_triton_gets_no_request_before_the_guard_works(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig.router(live_s=0.3) as router:
        await router.publish(route(guard=Guard.TRITON))
        await router.withdraw(KEY)
        monkeypatch.setattr(rig.cluster, "names", lambda _: [])  # the gateway has no EnvoyFilter
        with pytest.raises(UnavailableError, match="klever-guard"):
            await router.publish(route(guard=Guard.TRITON))
        await router.publish(route())


async def test_addresses_outside_the_cluster_get_service_entries_that_follow_them(rig: Rig) -> None:
    async with rig.router() as router:
        await router.publish(route(address="192.0.2.1"))
        (first,) = rig.cluster.names(SERVICE_ENTRY)
        await router.publish(route(address="192.0.2.2"))
        assert len(rig.cluster.names(SERVICE_ENTRY)) == 2
        await router.drain(KEY, "r1")
        (second,) = rig.cluster.names(SERVICE_ENTRY)
        assert first != second


async def test_changes_of_one_serving_take_turns(rig: Rig) -> None:
    async with rig.router() as router:
        await asyncio.gather(*(router.publish(route(f"r{index}")) for index in range(5)), router.withdraw(KEY))
        assert rig.routed() == []
