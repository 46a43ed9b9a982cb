"""The same objects for kubectl and for Klever's own clients, and an API server that fails."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.kubernetes.build import binary
from hack.kubernetes.cluster import Cluster
from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until

SERVING = """
apiVersion: kleveross.io/v1alpha1
kind: Serving
metadata: {name: NAME}
spec: {predictors: [{name: main, model: 'MODEL'}]}
"""
JOB = """
apiVersion: kleveross.io/v1alpha1
kind: ModelJob
metadata: {name: read, namespace: team}
spec: {model: 'team/adder:v1', desiredTag: 'team/adder:read', extraction: {format: ONNX}}
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, own_cluster: Cluster) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), Objects(own_cluster).fresh())
    platform.start()
    platform.push("team/adder:v1")
    until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"))
    yield platform
    platform.clean_up()


@pytest.fixture(scope="module")
def serving(platform: Platform, own_cluster: Cluster) -> str:
    """A Serving that kubectl made, and waited for."""
    own_cluster.kubectl("apply", "-f", "-", stdin=SERVING.replace("NAME", "adder").replace("MODEL", "team/adder:v1"))
    own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=40s", "serving/adder")
    return "adder"


def test_what_kubectl_makes_is_served(platform: Platform, own_cluster: Cluster, serving: str) -> None:
    assert platform.infer(serving)[0] == 200
    header, row = own_cluster.kubectl("get", "serving", serving).stdout.splitlines()
    assert header.split() == ["NAME", "READY", "URL", "TRAFFIC", "AGE"]
    assert row.split()[:4] == [serving, "True", f"{platform.url}/seldon/default/{serving}", "main=100"]
    described = own_cluster.kubectl("describe", "serving", serving).stdout
    assert "every predictor answers inference requests" in described.partition("Events:")[2]


def test_a_job_of_kubectl_is_done(platform: Platform, own_cluster: Cluster) -> None:
    own_cluster.kubectl("apply", "-f", "-", stdin=JOB)
    own_cluster.kubectl("wait", "--for=condition=Complete", "--timeout=40s", "modeljob/read", "-n", "team")
    assert own_cluster.kubectl("get", "mj", "read", "-n", "team").stdout.split()[5:7] == ["Succeeded", "team/adder:v1"]
    assert platform.get("modeljobs", "read", "-n", "team")["status"]["phase"] == "Succeeded"


def test_a_change_shows_on_the_other_side(platform: Platform, own_cluster: Cluster, serving: str) -> None:
    with subprocess.Popen(
        ["kubectl", "--kubeconfig", str(own_cluster.kubeconfig), "get", "servings", "-w", "-o", "json"],
        executable=binary(),
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        own_cluster.kubectl("label", "serving", serving, "team=vision")
        assert platform.get("servings", serving)["metadata"]["labels"] == {"team": "vision"}
        platform.run("klever", "deploy", "team/adder:read", "--name", serving, "--wait")
        spec = json.loads(own_cluster.kubectl("get", "serving", serving, "-o", "json").stdout)["spec"]
        assert spec["predictors"][0]["model"] == "team/adder:read"
        assert platform.get("servings", serving)["metadata"]["labels"] == {"team": "vision"}
        assert watch.stdout is not None
        until(lambda: "team/adder:read" in watch.stdout.readline())
        watch.terminate()


def test_an_edit_is_judged_as_any_write(tmp_path: Path, platform: Platform, own_cluster: Cluster, serving: str) -> None:
    def edited(sed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", "--kubeconfig", str(own_cluster.kubeconfig), "edit", "serving", serving],
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
    until(lambda: platform.get("servings", serving)["status"].get("replicas") == "2/2")
    assert f'"{serving}" is invalid' in edited("s/replicas: [0-9]*$/replicas: -1/").stderr


def test_what_others_wrote_survives(platform: Platform, own_cluster: Cluster) -> None:
    """A field of a newer CRD, and an annotation, through our own changes of the same object."""
    properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/predictors/items/properties"
    added = json.dumps([{"op": "add", "path": f"{properties}/novel", "value": {"type": "string"}}])
    own_cluster.kubectl("patch", "crd", "servings.kleveross.io", "--type=json", "-p", added)
    theirs = SERVING.replace("NAME", "newer").replace("'MODEL'", "'team/adder:v1', novel: kept")

    def kept(*command: str) -> bool:
        shown = own_cluster.kubectl(*command, "-o", "json", stdin=theirs, check=False).stdout
        return "novel" in shown

    until(lambda: kept("create", "--dry-run=server", "--validate=false", "-f", "-"))
    own_cluster.kubectl("create", "-f", "-", stdin=theirs)
    own_cluster.kubectl("annotate", "serving", "newer", "example.com/theirs=kept")
    platform.run("klever", "traffic", "newer", "main=100")
    until(lambda: platform.get("servings", "newer")["status"]["conditions"][0]["observedGeneration"] > 1)
    shown = own_cluster.kubectl("get", "serving", "newer", "-o", "json", "--show-managed-fields").stdout
    found: dict[str, Any] = json.loads(shown)
    assert found["spec"]["predictors"][0]["novel"] == "kept"
    assert found["spec"]["predictors"][0]["traffic"] == 100
    assert found["metadata"]["annotations"]["example.com/theirs"] == "kept"
    managers = {entry["manager"] for entry in found["metadata"]["managedFields"]}
    assert {"klever", "kubectl-annotate", "kubectl-create"} <= managers
    own_cluster.kubectl("delete", "serving", "newer", "--timeout=30s")


def test_a_spec_that_is_valid_but_cannot_work_says_so_once(platform: Platform, own_cluster: Cluster) -> None:
    own_cluster.kubectl("apply", "-f", "-", stdin=SERVING.replace("NAME", "lost").replace("MODEL", "team/missing:v1"))
    own_cluster.kubectl("wait", "--for=condition=Ready=false", "--timeout=20s", "serving/lost")
    found = json.loads(own_cluster.kubectl("get", "serving", "lost", "-o", "json").stdout)
    assert "is not in the registry" in json.dumps(found["status"])
    before = found["metadata"]["resourceVersion"]
    own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=3s", "serving/lost", check=False)
    after = json.loads(own_cluster.kubectl("get", "serving", "lost", "-o", "json").stdout)
    assert after["metadata"]["resourceVersion"] == before
    own_cluster.kubectl("delete", "serving", "lost", "--timeout=20s")


def test_a_namespace_goes_with_what_runs_in_it(platform: Platform, own_cluster: Cluster) -> None:
    own_cluster.kubectl("create", "namespace", "gone")
    manifest = SERVING.replace("NAME", "adder").replace("MODEL", "team/adder:v1")
    own_cluster.kubectl("apply", "-n", "gone", "-f", "-", stdin=manifest)
    own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=40s", "serving/adder", "-n", "gone")
    own_cluster.kubectl("delete", "namespace", "gone", "--timeout=60s")
    path = "/seldon/gone/adder/v2/models/adder/ready"
    assert platform.http("GET", path)[0] == 404


def test_owned_objects_are_collected_by_the_cluster(platform: Platform, own_cluster: Cluster, serving: str) -> None:
    uid = json.loads(own_cluster.kubectl("get", "serving", serving, "-o", "json").stdout)["metadata"]["uid"]
    job = {
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
    own_cluster.kubectl("create", "-f", "-", stdin=json.dumps(job))
    until(lambda: "NotFound" in own_cluster.kubectl("get", "mj", "owned", check=False).stderr)


def test_inference_goes_on_while_the_api_server_does_not(
    platform: Platform, own_cluster: Cluster, serving: str
) -> None:
    """Stopped (silent), killed, and started again: nothing fails but what needs it, and that says so."""
    failed: list[str] = []
    served: list[str] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.wait(0.02):
            status, body = platform.infer(serving)
            (served if status == 200 else failed).append(body)

    client = threading.Thread(target=load)
    client.start()
    try:
        own_cluster.pause("kube-apiserver")
        count = len(served)
        until(lambda: len(served) > count + 20)
        own_cluster.resume("kube-apiserver")
        for component in ("kube-apiserver", "etcd"):
            own_cluster.kill(component)
        refused = platform.run("klever", "get", "servings", check=False)
        assert refused.returncode != 0
        assert "does not answer" in refused.stderr
        count = len(served)
        until(lambda: len(served) > count + 300)
        own_cluster.up()
        platform.run("klever", "deploy", "team/adder:v1", "--name", serving, "--wait", "--timeout", "60s")
    finally:
        own_cluster.resume("kube-apiserver")
        own_cluster.up()
        stop.set()
        client.join()
    assert not failed


def test_deleting_with_kubectl_ends_the_processes(platform: Platform, own_cluster: Cluster, serving: str) -> None:
    own_cluster.kubectl("delete", "serving", serving, "--timeout=30s")
    assert platform.infer(serving)[0] == 404
    assert not list((platform.data / "processes").glob("serving-*"))
