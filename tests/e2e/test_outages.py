"""An API server that fails, or is changed below a running platform, and a platform that stands still."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from hack.kubernetes.cluster import Cluster
from tests.conftest import apply_crds, install_crds
from tests.e2e.conftest import Objects
from tests.e2e.inference import under_load
from tests.e2e.manifests import begin_job, job, make_ready, serving
from tests.e2e.platform import Platform, replicas, tasks, until
from tests.e2e.rights import RBAC, bound

ROLES = ("klever-controllers", "klever-lease", "klever-server")
CRDS = RBAC.parent / "crd"
OUTAGE_SECONDS = 60.0


class Log:
    """What a platform says from now on."""

    def __init__(self, platform: Platform) -> None:
        self._path = platform.log
        self._begin = platform.log.stat().st_size

    def lines(self, word: str) -> list[str]:
        with self._path.open() as file:
            file.seek(self._begin)
            return [line for line in file if word in line]

    def wait_for(self, word: str, seconds: float = 30.0) -> None:
        until(lambda: self.lines(word), seconds)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, own_cluster: Cluster) -> Iterator[Platform]:
    store = Objects(own_cluster).fresh()[:2]
    kubeconfig = bound(own_cluster, "outages", *ROLES)
    platform = Platform(tmp_path_factory.mktemp("platform"), (*store, "--kubeconfig", str(kubeconfig)))
    platform.start()
    platform.push("team/adder:v1")
    until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"))
    yield platform
    platform.clean_up()


@pytest.fixture
def adder(platform: Platform, own_cluster: Cluster) -> str:
    return make_ready(own_cluster, "adder")


WATCHED_KINDS = 4
"""Jobs, Servings, inspections and namespaces: each tells why it cannot be watched, with waits that grow."""


def test_inference_goes_on_while_the_api_server_does_not(platform: Platform, own_cluster: Cluster, adder: str) -> None:
    """Stopped (silent), then gone for a minute: nothing fails but what needs it, which says so."""
    before = replicas(platform)
    log = Log(platform)
    try:
        with under_load(platform, adder) as answered:
            own_cluster.pause("kube-apiserver")
            count = len(answered)
            until(lambda: len(answered) > count + 20)
            silent = platform.run("klever", "get", "servings", check=False)
            assert "no answer from https://" in silent.stderr
            own_cluster.resume("kube-apiserver")
            for component in ("kube-apiserver", "etcd"):
                own_cluster.kill(component)
            back = time.monotonic() + OUTAGE_SECONDS
            refused = platform.run("klever", "get", "servings", check=False)
            assert refused.returncode != 0
            assert "does not answer" in refused.stderr
            log.wait_for("the controllers are stopping", 40.0)
            assert "the lease was not renewed" in log.lines("the controllers are stopping")[0]
            until(lambda: time.monotonic() > back, OUTAGE_SECONDS)
            assert len(log.lines('"WARNING"')) < 10 + 10 * WATCHED_KINDS, log.lines('"WARNING"')
            own_cluster.up()
            log.wait_for('is the leader"', 40.0)
            platform.run("klever", "traffic", adder, "main=100")
            own_cluster.kubectl("create", "-f", "-", stdin=job("after"))
            make_ready(own_cluster, "later")
            own_cluster.kubectl("wait", "--for=condition=Complete", "--timeout=40s", "modeljob/after")
            assert set(before) < set(replicas(platform))
    finally:
        with suppress(RuntimeError):  # it was killed
            own_cluster.resume("kube-apiserver")
        own_cluster.up()
    own_cluster.kubectl("delete", "serving", "later", "--timeout=30s")


def test_a_platform_that_stood_still_for_longer_than_its_lease(
    platform: Platform, own_cluster: Cluster, adder: str
) -> None:
    """It stops leading, says so, and leads again if no other does. Running work continues, and nothing runs twice."""
    task = begin_job(own_cluster, platform, "still")
    before = replicas(platform)
    log = Log(platform)
    assert platform.process is not None
    with under_load(platform, adder):
        platform.process.send_signal(signal.SIGSTOP)
        try:
            own_cluster.kubectl("apply", "-f", "-", stdin=serving("meanwhile"))
            lapsed = renewed(own_cluster) + 16
            until(lambda: time.time() > lapsed)
        finally:
            platform.process.send_signal(signal.SIGCONT)
        log.wait_for("is no longer the leader")
        log.wait_for('is the leader"')
        own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=40s", "serving/meanwhile")
    assert renewed(own_cluster) > lapsed
    assert set(before) < set(replicas(platform))
    assert len(replicas(platform)) == len(before) + 1
    assert tasks(platform) == [str(task)]
    os.kill(task, signal.SIGCONT)
    own_cluster.kubectl("wait", "--for=condition=Complete", "--timeout=40s", "modeljob/still")
    own_cluster.kubectl("delete", "serving", "meanwhile", "--timeout=30s")


def renewed(cluster: Cluster) -> float:
    """When the Lease was renewed last, in seconds since the epoch."""
    where = ("-n", "klever-system", "-o", "jsonpath={.spec.renewTime}")
    return datetime.fromisoformat(cluster.kubectl("get", "lease", "klever-controllers", *where).stdout).timestamp()


def without_rights(cluster: Cluster) -> None:
    cluster.kubectl("patch", "clusterrole", "klever-controllers", "-p", '{"rules": []}')


def without_status(cluster: Cluster) -> None:
    patch_crd(cluster, op="remove", path="/spec/versions/0/subresources")


def patch_crd(cluster: Cluster, **operation: Any) -> None:
    cluster.kubectl("patch", "crd", "servings.kleveross.io", "--type=json", "-p", json.dumps([operation]))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_rights, 'cannot patch resource "servings/status"'),
        (without_status, "the CRD servings.kleveross.io is outdated"),
    ],
)
def test_a_status_that_cannot_be_written_is_said_and_written_when_it_can(
    platform: Platform, own_cluster: Cluster, adder: str, spoil: Callable[[Cluster], None], said: str
) -> None:
    log = Log(platform)
    with under_load(platform, adder):
        try:
            spoil(own_cluster)
            own_cluster.kubectl("apply", "-f", "-", stdin=serving("blind"))
            log.wait_for(json.dumps(said)[1:-1])
            own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=5s", "serving/blind", check=False)
            assert len(log.lines('"WARNING"')) < 30, log.lines('"WARNING"')
        finally:
            apply_crds(own_cluster)
            own_cluster.kubectl("apply", "-f", f"{RBAC}/")
        own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=40s", "serving/blind")
    own_cluster.kubectl("delete", "serving", "blind", "--timeout=40s")


def test_a_kind_that_is_served_in_another_version_for_a_while(
    platform: Platform, own_cluster: Cluster, adder: str
) -> None:
    """What is not shown any more is not deleted."""
    before = replicas(platform)
    log = Log(platform)
    with under_load(platform, adder):
        try:
            patch_crd(own_cluster, op="replace", path="/spec/versions/0/served", value=False)
            until(lambda: len(log.lines("servings.kleveross.io")) > 3)
            refused = platform.run("klever", "get", "servings", check=False)
            assert "the server does not have this kind" in refused.stderr
        finally:
            apply_crds(own_cluster)
        make_ready(own_cluster, "later")
    assert set(before) < set(replicas(platform))
    own_cluster.kubectl("delete", "serving", "later", "--timeout=30s")


def test_kinds_that_are_deleted_and_come_back(platform: Platform, own_cluster: Cluster, adder: str) -> None:
    """With a kind go its objects, and with them what they run: that is asked for."""
    log = Log(platform)
    try:
        own_cluster.kubectl("delete", "-f", f"{CRDS}/", "--timeout=60s")
        until(lambda: platform.infer(adder)[0] == 404)
        assert not replicas(platform)
        log.wait_for("servings.kleveross.io")
        log.wait_for("modeljobs.kleveross.io")
        assert len(log.lines('"WARNING"')) < 30, log.lines('"WARNING"')
    finally:
        install_crds(own_cluster)
    make_ready(own_cluster, adder)
    assert platform.infer(adder)[0] == 200


@pytest.fixture
def novel(own_cluster: Cluster) -> Iterator[str]:
    """A field that the CRD has beyond ours."""
    properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/predictors/items/properties"
    patch_crd(own_cluster, op="add", path=f"{properties}/novel", value={"type": "string"})
    yield "novel"
    apply_crds(own_cluster)


def test_fields_of_other_managers_survive(platform: Platform, own_cluster: Cluster, novel: str) -> None:
    """A field of a newer CRD, and an annotation, through our own changes of the same object."""
    theirs = serving("newer").replace("replicas: 1", f"{novel}: kept")

    def kept(*command: str) -> bool:
        shown = own_cluster.kubectl(*command, "-o", "json", stdin=theirs, check=False).stdout
        return novel in shown

    until(lambda: kept("create", "--dry-run=server", "--validate=false", "-f", "-"))
    own_cluster.kubectl("create", "-f", "-", stdin=theirs)
    own_cluster.kubectl("annotate", "serving", "newer", "example.com/theirs=kept")
    platform.run("klever", "traffic", "newer", "main=100")
    body = {
        "metadata": {"name": "newer"},
        "spec": {"predictors": [{"name": "main", "model": "team/adder:v1", "traffic": 100}]},
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {platform.token}"}
    path = "/api/v1alpha1/namespaces/default/servings/newer?updateMask=spec"
    assert platform.http("PATCH", path, json.dumps(body), **headers)[0] == 200
    until(lambda: platform.get("servings", "newer")["status"]["conditions"][0]["observedGeneration"] > 1)
    shown = own_cluster.kubectl("get", "serving", "newer", "-o", "json", "--show-managed-fields").stdout
    found: dict[str, Any] = json.loads(shown)
    assert found["spec"]["predictors"][0][novel] == "kept"
    assert found["spec"]["predictors"][0]["traffic"] == 100
    assert found["metadata"]["annotations"]["example.com/theirs"] == "kept"
    managers = {entry["manager"] for entry in found["metadata"]["managedFields"]}
    assert {"klever", "kubectl-annotate", "kubectl-create"} <= managers
    own_cluster.kubectl("delete", "serving", "newer", "--timeout=30s")
