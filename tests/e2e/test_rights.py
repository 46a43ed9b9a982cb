"""config/rbac grants what is used and nothing more, as the API server's audit log has it."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

from hack.kubernetes.cluster import Cluster
from tests.e2e.conftest import Objects
from tests.e2e.controllers import LEASE_S, Controllers
from tests.e2e.platform import Platform, until
from tests.e2e.rights import bound, granted, used

JOB = {
    "apiVersion": "kleveross.io/v1alpha1",
    "kind": "ModelJob",
    "metadata": {"name": "short"},
    "spec": {
        "model": "team/adder:v1",
        "desiredTag": "team/adder:read",
        "extraction": {"format": "ONNX"},
        "ttlSecondsAfterFinished": 0,
    },
}
KEPT = JOB | {"metadata": {"name": "kept"}, "spec": {"model": "team/adder:v1", "extraction": {"format": "ONNX"}}}
SERVING = {
    "apiVersion": "kleveross.io/v1alpha1",
    "kind": "Serving",
    "metadata": {"name": "adder"},
    "spec": {"predictors": [{"name": "main", "model": "team/adder:v1"}], "revisionHistoryLimit": 0},
}

NOT_TODAY = {("modelinspections", "delete")}
"""The collector deletes an inspection when it is a day old."""


def test_controllers(source: Platform, workplace: Platform, own_cluster: Cluster) -> None:
    Objects(own_cluster).fresh()
    kubeconfig = bound(own_cluster, "loops", "klever-controllers", "klever-lease")
    controllers = Controllers(source, workplace, kubeconfig)
    try:
        until(controllers.terms, LEASE_S)
        for obj in (SERVING, JOB):
            own_cluster.kubectl("create", "-f", "-", stdin=json.dumps(obj))
        own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=40s", "serving/adder")
        own_cluster.kubectl("wait", "--for=delete", "--timeout=40s", "modeljob/short")
        for replicas in (0, 1, 0, 2):  # the same event again, and another revision
            patch = {"spec": {"predictors": [SERVING["spec"]["predictors"][0] | {"replicas": replicas}]}}  # type: ignore[index]
            own_cluster.kubectl("patch", "serving", "adder", "--type=merge", "-p", json.dumps(patch))
            own_cluster.kubectl(
                "wait", f"--for=jsonpath={{.status.readyReplicas}}={replicas}", "--timeout=40s", "serving/adder"
            )
        own_cluster.kubectl("delete", "serving", "adder", "--timeout=40s")
        (inspection,) = own_cluster.kubectl("get", "modelinspections", "-o", "name").stdout.split()
        older = json.dumps({"spec": {"inspectorVersion": 0}})
        own_cluster.kubectl("patch", inspection, "--type=merge", "-p", older)
        unread = {
            "metadata": {"name": "unread"},
            "spec": {"predictors": [{"name": "main", "model": as_pushed(source)}]},
        }
        own_cluster.kubectl("create", "-f", "-", stdin=json.dumps({**SERVING, **unread}))
        own_cluster.kubectl("wait", "--for=condition=Ready", "--timeout=40s", "serving/unread")
        own_cluster.kubectl("delete", "serving", "unread", "--timeout=40s")
        controllers.send(signal.SIGTERM)
        assert controllers.process.wait(30) == 0
    finally:
        controllers.end()
    assert used(own_cluster, "loops") | NOT_TODAY == granted("controllers.yaml")


def as_pushed(source: Platform) -> str:
    """The model by the digest that it was pushed with, before its signature was read."""
    index = json.loads((source.root / "ormb" / "cache" / "index.json").read_text())
    return f"team/adder@{index['manifests'][0]['digest']}"


def test_the_platform(tmp_path: Path, own_cluster: Cluster) -> None:
    Objects(own_cluster).fresh()
    kubeconfig = bound(own_cluster, "platform", "klever-controllers", "klever-lease", "klever-server")
    platform = Platform(tmp_path, ("--store", "kubernetes", "--kubeconfig", str(kubeconfig)))
    platform.start()
    try:
        platform.push("team/adder:v1")
        platform.run("klever", "create", "project", "space")
        platform.run("klever", "allow-code", "space")
        platform.run("klever", "get", "projects")
        platform.run("klever", "describe", "project", "team")
        platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
        platform.http(
            "POST",
            "/api/v1alpha1/namespaces/default/servings",
            json.dumps({"metadata": {"name": "created"}, "spec": SERVING["spec"]}),
            **{"Content-Type": "application/json", "Authorization": f"Bearer {platform.token}"},
        )
        platform.run("klever", "traffic", "adder", "main=100")
        platform.run("klever", "history", "serving", "adder")
        platform.run("klever", "rollback", "adder", "--to", "1")
        platform.run("klever", "apply", "-f", "-", stdin=json.dumps(KEPT))
        platform.get("modeljobs", "kept")
        platform.run("klever", "events", "serving", "adder")
        platform.run("klever", "delete", "modeljob", "kept")
        platform.run("klever", "delete", "serving", "adder")
    finally:
        platform.clean_up()
    rights = used(own_cluster, "platform")
    assert rights <= granted("controllers.yaml", "server.yaml")
    assert rights >= granted("server.yaml")


def test_people(tmp_path: Path, own_cluster: Cluster) -> None:
    kubeconfig = bound(own_cluster, "jane", "klever-viewer", "klever-editor")
    own_cluster.kubectl("create", "namespace", "janes")
    shutil.copy(kubeconfig, tmp_path / "kubeconfig")
    for obj in (SERVING, JOB):
        kind = str(obj["kind"]).lower()
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps(obj))
        name = obj["metadata"]["name"]  # type: ignore[index]

        def kubectl(*arguments: str) -> None:
            own_cluster.kubectl("--kubeconfig", str(kubeconfig), "-n", "janes", *arguments)

        kubectl("create", "-f", str(path))
        kubectl("get", kind, name)
        kubectl("get", kind)
        kubectl("label", kind, name, "a=b")
        kubectl("replace", "-f", str(path))
        kubectl("delete", kind, name)
        own_cluster.kubectl(
            "--kubeconfig", str(kubeconfig), "-n", "janes", "--request-timeout=5s", "get", kind, "-w", check=False
        )
    for resource in ("modelinspections", "servingrevisions"):
        raw = f"/apis/kleveross.io/v1alpha1/namespaces/janes/{resource}"
        for request in (raw, f"{raw}/none", f"{raw}?watch=1&timeoutSeconds=1"):  # raw: kubectl reads no namespace
            own_cluster.kubectl("--kubeconfig", str(kubeconfig), "get", "--raw", request, check=False)
    assert used(own_cluster, "jane") == granted("users.yaml")
