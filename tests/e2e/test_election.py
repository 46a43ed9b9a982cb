"""Two `klever controllers` over one API server and one data directory: one works, through kills and stops."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.e2e.conftest import Objects
from tests.e2e.controllers import LEASE_S, Controllers
from tests.e2e.inference import under_load
from tests.e2e.manifests import begin_job, make_ready, serving
from tests.e2e.platform import Platform, replicas, tasks, until
from tests.kubectl import Kubectl

FAILOVER_SECONDS = 20.0


def test_one_works_and_another_takes_over(
    tmp_path: Path, source: Platform, workplace: Platform, cluster: Kubectl
) -> None:
    Objects(cluster).fresh()

    def candidate() -> Controllers:
        return Controllers(source, workplace, cluster.kubeconfig)

    first = candidate()
    until(first.terms, LEASE_S)
    second = candidate()
    candidates = [first, second]
    try:
        make_ready(cluster, "adder")
        assert (first.terms(), second.terms()) == (1, 0)
        one = until(lambda: replicas(workplace))
        task = begin_job(cluster, workplace, "long")
        with under_load(workplace, "adder") as answered:
            first.send(signal.SIGKILL)
            killed = time.monotonic()
            until(second.terms, LEASE_S)
            assert time.monotonic() - killed < FAILOVER_SECONDS
            assert replicas(workplace) == one

            third = candidate()
            candidates.append(third)
            second.send(signal.SIGSTOP)
            until(third.terms, LEASE_S)
            cluster.kubectl("apply", "-f", "-", stdin=serving("adder", replicas=2))
            until(lambda: len(replicas(workplace)) == 2)
            two = replicas(workplace)
            second.send(signal.SIGCONT)
            until(lambda: "is no longer the leader" in second.log.read_text())
            cluster.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=30s", "serving/adder")
            assert replicas(workplace) == two
            assert tasks(workplace) == [str(task)]
            end(cluster, "long", task)
            assert (second.terms(), third.terms()) == (1, 1)
            assert len(answered) > 100
    finally:
        for controllers in candidates:
            controllers.end()


def end(cluster: Kubectl, job: str, task: int) -> None:
    """Let a job's task go on to its end; of the job is told then, after its status, what became of it, and once."""
    os.kill(task, signal.SIGCONT)
    cluster.kubectl("wait", "--for=condition=Complete", "--timeout=40s", f"modeljob/{job}")
    which = ("--field-selector", f"involvedObject.kind=ModelJob,involvedObject.name={job}")
    counted = "jsonpath={range .items[*]}{.reason} {.count}{'\\n'}{end}"

    def told() -> list[str]:
        return sorted(cluster.kubectl("get", "events", *which, "-o", counted).stdout.splitlines())

    until(lambda: len(told()) > 1)
    assert told() == ["Completed 1", "Started 1"]
