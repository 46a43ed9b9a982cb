"""The same objects for kubectl and for Klever's own clients."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.kubernetes.build import binary
from tests.e2e.conftest import Objects
from tests.e2e.manifests import begin_job, job, make_ready, serving
from tests.e2e.platform import Platform, replicas, tasks, until
from tests.kubectl import Kubectl


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, cluster: Kubectl) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), Objects(cluster).fresh())
    platform.start()
    platform.push("team/adder:v1")
    platform.push("team/adder:v2")
    until(lambda: all("signature" in version for version in platform.get("versions", "-n", "team")["items"]))
    yield platform
    platform.clean_up()


@pytest.fixture
def adder(platform: Platform, cluster: Kubectl) -> str:
    """A Serving that kubectl made, and waited for."""
    return make_ready(cluster, "adder")


def test_a_serving_from_kubectl_is_served(platform: Platform, cluster: Kubectl, adder: str) -> None:
    assert platform.infer(adder)[0] == 200
    header, row = cluster.kubectl("get", "srv", adder).stdout.splitlines()
    assert header.split() == [
        "NAME", "READY", "PHASE", "REASON", "DESIRED", "AVAILABLE", "TRAFFIC", "URL", "AGE"
    ]  # fmt: skip
    assert row.split()[:8] == [
        adder, "True", "Ready", "Serving", "1", "1", "main=100", f"{platform.url}/seldon/default/{adder}"
    ]  # fmt: skip
    says = "every predictor answers inference requests"
    until(lambda: says in cluster.kubectl("describe", "serving", adder).stdout.partition("Events:")[2])


def test_a_job_of_kubectl_is_done(platform: Platform, cluster: Kubectl) -> None:
    cluster.kubectl("apply", "-n", "team", "-f", "-", stdin=job("read"))
    cluster.kubectl("wait", "--for=condition=Complete", "--timeout=40s", "modeljob/read", "-n", "team")
    assert cluster.kubectl("get", "mj", "read", "-n", "team").stdout.split()[7:10] == [
        "Succeeded", "Completed", "team/adder:v1"
    ]  # fmt: skip
    assert platform.get("modeljobs", "read", "-n", "team")["status"]["phase"] == "Succeeded"


def test_a_change_shows_on_the_other_side(tmp_path: Path, platform: Platform, cluster: Kubectl, adder: str) -> None:
    seen = tmp_path / "seen"
    command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "get", "servings", "-w", "-o", "json"]
    with seen.open("w") as file, subprocess.Popen(command, executable=binary(), stdout=file) as watch:
        try:
            cluster.kubectl("label", "serving", adder, "team=vision")
            assert platform.get("servings", adder)["metadata"]["labels"] == {"team": "vision"}
            platform.run("klever", "deploy", "team/adder:v2", "--name", adder, "--wait")
            spec = json.loads(cluster.kubectl("get", "serving", adder, "-o", "json").stdout)["spec"]
            assert spec["predictors"][0]["model"] == "team/adder:v2"
            assert platform.get("servings", adder)["metadata"]["labels"] == {"team": "vision"}
            until(lambda: "team/adder:v2" in seen.read_text())
        finally:
            watch.kill()


def test_an_edit_is_judged_as_any_write(tmp_path: Path, platform: Platform, cluster: Kubectl, adder: str) -> None:
    def edited(sed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "edit", "serving", adder],
            executable=binary(),
            env={
                "KUBE_EDITOR": f"sed -i '{sed}'",
                "PATH": "/usr/bin:/bin",
                "TMPDIR": str(tmp_path),
                "HOME": str(tmp_path),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    # Not the status, where they are words: what an API server cannot read there makes it forget managedFields.
    assert "edited" in edited("s/replicas: [0-9]*$/replicas: 2/").stdout
    until(lambda: platform.get("servings", adder)["status"].get("readyReplicas") == 2)
    assert f'"{adder}" is invalid' in edited("s/replicas: [0-9]*$/replicas: -1/").stderr


def test_a_spec_that_is_valid_but_cannot_work_says_so_once(platform: Platform, cluster: Kubectl) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=serving("lost", "team/missing:v1"))
    cluster.kubectl("wait", "--for=condition=Ready=false", "--timeout=20s", "serving/lost")
    found = json.loads(cluster.kubectl("get", "serving", "lost", "-o", "json").stdout)
    assert "is not in the registry" in json.dumps(found["status"])
    before = found["metadata"]["resourceVersion"]
    cluster.kubectl("wait", "--for=condition=Ready", "--timeout=3s", "serving/lost", check=False)
    after = json.loads(cluster.kubectl("get", "serving", "lost", "-o", "json").stdout)
    assert after["metadata"]["resourceVersion"] == before
    cluster.kubectl("delete", "serving", "lost", "--timeout=20s")


def test_a_namespace_goes_with_what_runs_in_it(platform: Platform, cluster: Kubectl) -> None:
    cluster.kubectl("create", "namespace", "gone")
    make_ready(cluster, "adder", "gone")
    begin_job(cluster, platform, "read", "gone")
    cluster.kubectl("delete", "namespace", "gone", "--timeout=60s")
    assert platform.http("GET", "/seldon/gone/adder/v2/models/adder/ready")[0] == 404
    assert not tasks(platform)


def test_a_push_outlasts_the_end_of_its_namespace(platform: Platform, cluster: Kubectl) -> None:
    """Nothing can be made in a namespace that is being deleted; what was pushed is looked at again until it can."""
    cluster.kubectl("create", "namespace", "leaving")
    cluster.kubectl("create", "configmap", "held", "-n", "leaving")
    hold = '{"metadata": {"finalizers": ["example.com/held"]}}'
    cluster.kubectl("patch", "configmap", "held", "-n", "leaving", "-p", hold)
    cluster.kubectl("delete", "namespace", "leaving", "--wait=false")
    platform.push("leaving/adder:v1")
    until(lambda: "because it is being terminated" in platform.log.read_text())
    cluster.kubectl("patch", "configmap", "held", "-n", "leaving", "-p", '{"metadata": {"finalizers": null}}')
    until(lambda: platform.get("versions", "-n", "leaving")["items"][0].get("signature"), 60.0)
    assert cluster.kubectl("get", "namespace", "leaving", "-o", "jsonpath={.status.phase}").stdout == "Active"


def test_owned_objects_are_collected_by_the_cluster(platform: Platform, cluster: Kubectl, adder: str) -> None:
    uid = json.loads(cluster.kubectl("get", "serving", adder, "-o", "json").stdout)["metadata"]["uid"]
    owned = {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "ModelJob",
        "metadata": {
            "name": "owned",
            "ownerReferences": [
                {"apiVersion": "kleveross.io/v1alpha1", "kind": "Serving", "name": "other", "uid": uid[:-4] + "0000"}
            ],
        },
        "spec": {"model": "team/adder:v1", "extraction": {"format": "ONNX"}},
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(owned))
    until(lambda: "NotFound" in cluster.kubectl("get", "mj", "owned", check=False).stderr)


def test_deleting_with_kubectl_ends_the_processes(platform: Platform, cluster: Kubectl, adder: str) -> None:
    """Also where somebody else's finalizer keeps the object: then it says that nothing of it runs."""
    assert replicas(platform)
    held = '[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/held"}]'
    cluster.kubectl("patch", "serving", adder, "--type=json", "-p", held)
    cluster.kubectl("delete", "serving", adder, "--wait=false")
    until(lambda: not replicas(platform))
    assert platform.infer(adder)[0] == 404
    until(lambda: platform.get("servings", adder)["metadata"]["finalizers"] == ["example.com/held"])
    status = platform.get("servings", adder)["status"]
    assert (status["phase"], status.get("url", "")) == ("Deleting", "")
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "False", "Progressing": "True", "RoutesReady": "False"
    }  # fmt: skip
    cluster.kubectl("patch", "serving", adder, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    cluster.kubectl("wait", "serving", adder, "--for=delete", "--timeout=30s")
    assert not list((platform.data / "processes").glob("serving-*"))
