"""Two `klever controllers` over one API server and one data directory: one works, through kills and stops."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

from hack.kubernetes.cluster import Cluster
from tests.e2e.conftest import Objects
from tests.e2e.controllers import Controllers
from tests.e2e.platform import Platform, replicas, until

SERVING = """
apiVersion: kleveross.io/v1alpha1
kind: Serving
metadata: {name: adder}
spec: {predictors: [{name: main, model: 'team/adder:v1', replicas: REPLICAS}]}
"""
FAILOVER_SECONDS = 20.0


def test_one_works_and_another_takes_over(
    tmp_path: Path, source: Platform, workplace: Platform, own_cluster: Cluster
) -> None:
    Objects(own_cluster).fresh()

    def candidate() -> Controllers:
        return Controllers(source, workplace, own_cluster.kubeconfig)

    first = candidate()
    until(first.terms)
    second = candidate()
    candidates = [first, second]
    served: list[float] = []
    failed: list[str] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            status, body = workplace.infer("adder")
            if status == 200:
                served.append(time.monotonic())
            else:
                failed.append(body)

    client = threading.Thread(target=load)
    try:
        own_cluster.kubectl("apply", "-f", "-", stdin=SERVING.replace("REPLICAS", "1"))
        own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=30s", "serving/adder")
        assert (first.terms(), second.terms()) == (1, 0)
        one = until(lambda: replicas(workplace))
        client.start()

        first.send(signal.SIGKILL)
        killed = time.monotonic()
        until(second.terms)
        assert time.monotonic() - killed < FAILOVER_SECONDS
        assert replicas(workplace) == one

        third = candidate()
        candidates.append(third)
        second.send(signal.SIGSTOP)
        until(third.terms)
        own_cluster.kubectl("apply", "-f", "-", stdin=SERVING.replace("REPLICAS", "2"))
        until(lambda: len(replicas(workplace)) == 2)
        two = replicas(workplace)
        second.send(signal.SIGCONT)
        until(lambda: "leads no longer" in second.log.read_text())
        own_cluster.kubectl("wait", "--for=jsonpath={.status.replicas}=2/2", "--timeout=30s", "serving/adder")
        assert replicas(workplace) == two
        assert (second.terms(), third.terms()) == (1, 1)
        stop.set()
        client.join()
        assert not failed
        assert len(served) > 100
    finally:
        stop.set()
        for controllers in candidates:
            controllers.end()
