"""An API server each of whose calls takes 3 s: one leads over it, and what is declared comes about."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from hack.kubernetes.cluster import Cluster
from tests.e2e.conftest import Objects
from tests.e2e.manifests import make_ready
from tests.e2e.platform import Platform, until
from tests.e2e.slow import SlowServer

CALL_SECONDS = 3.0
TERM = timedelta(seconds=20)
"""Longer than the Lease lasts."""


def test_the_platform(tmp_path: Path, own_cluster: Cluster) -> None:
    """The job that reads a pushed model's signature, and a Serving."""
    flags = Objects(own_cluster).fresh()[:2]
    with SlowServer(own_cluster.kubeconfig, tmp_path, CALL_SECONDS) as slow:
        platform = Platform(tmp_path / "platform", (*flags, "--kubeconfig", str(slow.kubeconfig)))
        platform.start()
        try:
            platform.push("team/adder:v1")
            until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"), 60.0)
            own_cluster.kubectl("wait", "-n", "team", "--for=condition=Complete", "--timeout=60s", "modeljob", "--all")
            make_ready(own_cluster, "adder")
            assert platform.infer("adder")[0] == 200
            until(lambda: led(own_cluster) > TERM)
            own_cluster.kubectl("delete", "serving", "adder", "--timeout=60s")
            assert platform.infer("adder")[0] == 404
            assert platform.log.read_text().count('is the leader"') == 1
        finally:
            problems = platform.end()
            platform.clean_up()
        assert not problems


def led(cluster: Cluster) -> timedelta:
    """How long the Lease has been held, by its last renewal."""
    times = "jsonpath={.spec.acquireTime} {.spec.renewTime}"
    lease = cluster.kubectl("get", "lease", "klever-controllers", "-n", "klever-system", "-o", times)
    acquired, renewed = map(datetime.fromisoformat, lease.stdout.split())
    return renewed - acquired
