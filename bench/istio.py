"""What a change of a route through istiod and Envoy costs: `python bench/istio.py [DIRECTORY OF A CLUSTER]`.

Two Services of two pods each share requests. Counts failed requests while their weights change, how long a change takes
until the gateway has it, the share of 20,000 requests, calls at rest, and the time until a deleted route is back.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

sys.path.append(str(Path(__file__).resolve().parents[1]))

from hack.kubernetes.cluster import Cluster
from hack.kubernetes.images import BUSYBOX
from klever.kube import KubeClient
from klever.kube.kubeconfig import load_config
from klever.routers import Route, RouteKey, Target
from klever.routers.istio import IstioRouter, IstioSettings
from klever.runtimes.protocols import ANY

PORT = 8080
KEY = RouteKey("bench", "web")
NAMES = ("a", "b")
REQUESTS = 20_000
CHANGES = 100
CLIENTS = 16
USER = "bench"


def objects(name: str) -> Iterator[dict[str, Any]]:
    script = f"mkdir /tmp/www && echo -n {name} >/tmp/www/who && exec httpd -f -p 8000 -h /tmp/www"
    probe = {"httpGet": {"path": "/who", "port": 8000}, "periodSeconds": 1}
    container = {"name": "web", "image": BUSYBOX, "command": ["sh", "-c", script], "readinessProbe": probe}
    template = {"metadata": {"labels": {"web": name}}, "spec": {"containers": [container]}}
    metadata = {"name": name, "namespace": KEY.namespace}
    spec = {"replicas": 2, "selector": {"matchLabels": {"web": name}}, "template": template}
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    ports = [{"name": "http", "port": 8000}]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"web": name}, "ports": ports},
    }


def route(addresses: dict[str, str], weight: int) -> Route:
    weights = dict(zip(NAMES, (weight, 100 - weight), strict=True))
    return Route(KEY, tuple(Target(n, n, ANY, weights[n], (f"{addresses[n]}:8000",)) for n in NAMES))


async def ask(url: str, count: int, answered: Counter[str], stop: asyncio.Event | None = None) -> None:
    """Send `count` requests over some connections, or send them until `stop`."""
    left = iter(range(count))
    async with aiohttp.ClientSession() as session:

        async def client() -> None:
            for _ in left:
                if stop is not None and stop.is_set():
                    return
                try:
                    async with session.get(url) as response:
                        answered[await response.text() if response.status == 200 else str(response.status)] += 1
                except aiohttp.ClientError as error:
                    answered[type(error).__name__] += 1

        await asyncio.gather(*(client() for _ in range(CLIENTS)))


def calls(cluster: Cluster) -> int:
    events = map(json.loads, cluster.audit.read_bytes().splitlines())
    return sum(event["user"].get("username") == USER and event["verb"] != "watch" for event in events)


async def change_weights(router: IstioRouter, addresses: dict[str, str]) -> None:
    await router.publish(route(addresses, 50))
    answered: Counter[str] = Counter()
    stop = asyncio.Event()
    load = asyncio.create_task(ask(f"{router.url(KEY)}/who", 1 << 40, answered, stop))
    took = []
    for index in range(CHANGES):
        began = time.monotonic()
        await router.publish(route(addresses, (index * 37) % 101))
        took.append(time.monotonic() - began)
    stop.set()
    await load
    failed = sum(count for name, count in answered.items() if name not in NAMES)
    live = f"live in {statistics.median(took) * 1000:.0f} ms, at most {max(took) * 1000:.0f} ms"
    print(f"{CHANGES} changes of weights under load: {answered.total()} requests, {failed} failed; {live}")


async def share(router: IstioRouter, addresses: dict[str, str]) -> None:
    await router.publish(route(addresses, 75))
    answered: Counter[str] = Counter()
    began = time.monotonic()
    await ask(f"{router.url(KEY)}/who", REQUESTS, answered)
    rate = REQUESTS / (time.monotonic() - began)
    print(f"75 % of {REQUESTS} requests: {100 * answered['a'] / answered.total():.2f} % ({rate:.0f} requests/s)")


async def rest(cluster: Cluster) -> None:
    before = calls(cluster)
    await asyncio.sleep(60)
    print(f"calls in a minute at rest: {calls(cluster) - before}")


def repair(cluster: Cluster) -> None:
    service = ("virtualservice", KEY.serving, "-n", KEY.namespace)
    cluster.kubectl("delete", *service)
    began = time.monotonic()
    while cluster.kubectl("get", *service, check=False).returncode:
        time.sleep(0.05)
    print(f"a deleted VirtualService is back after {time.monotonic() - began:.2f} s, a run of kubectl included")


async def measure(cluster: Cluster, addresses: dict[str, str]) -> None:
    client = await KubeClient.open(load_config(cluster.user(USER, "system:masters")))
    settings = IstioSettings(f"http://{cluster.gateway}:{PORT}", port=PORT)
    async with IstioRouter(client, settings) as router:
        await change_weights(router, addresses)
        await share(router, addresses)
        await rest(cluster)
        await asyncio.to_thread(repair, cluster)
        await router.withdraw(KEY)
    await client.close()


def run(cluster: Cluster) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KEY.namespace}}
    made = [namespace, *(obj for name in NAMES for obj in objects(name))]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
    for name in NAMES:
        cluster.kubectl("rollout", "status", f"deployment/{name}", "-n", KEY.namespace, "--timeout=90s")
    wanted = ("get", "service", "-n", KEY.namespace, "-o", "jsonpath={.spec.clusterIP}")
    addresses = {name: cluster.kubectl(*wanted, name).stdout for name in NAMES}
    try:
        asyncio.run(measure(cluster, addresses))
    finally:
        cluster.kubectl("delete", "namespace", KEY.namespace)


def main() -> None:
    if len(sys.argv) > 1:
        run(Cluster(Path(sys.argv[1])))
        return
    cluster = Cluster(Path(tempfile.mkdtemp()) / "bench", "full")
    try:
        cluster.up()
        cluster.add("istio")
        run(cluster)
    finally:
        cluster.down()


if __name__ == "__main__":
    main()
