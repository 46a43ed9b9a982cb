"""`klever controllers --pods`: jobs and Servings run as pods of a real cluster, behind the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from hack.kubernetes.cluster import Cluster
from hack.kubernetes.python_image import write_python
from tests.e2e.controllers import Controllers
from tests.e2e.platform import Platform, until
from tests.e2e.rights import bound

OWN = "klever.test/own:1"
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["SERVING_NAME"].encode())
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
USER = "pods"
NOT_TODAY = {("jobs", "get")}
"""A Job is read if another one has its name."""
ALL = "deployments,pods,services,secrets"
JOB: dict[str, Any] = {
    "apiVersion": "kleveross.io/v1alpha1",
    "kind": "ModelJob",
    "metadata": {"name": "read"},
    "spec": {"model": "team/adder:v1", "extraction": {"format": "ONNX"}},
}


def serving(name: str = "adder", /, **predictor: Any) -> Any:
    main = {"name": "main", **({} if "image" in predictor else {"model": "team/adder:v1"}), **predictor}
    return {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "Serving",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"predictors": [main]},
    }


@pytest.fixture(scope="module")
def source(pods: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that is but the registry here. Pods reach it at this machine's address on their bridge."""
    platform = Platform(tmp_path_factory.mktemp("source"), ("--host", "0.0.0.0", "--plaintext"))
    platform.start()
    platform.push("team/adder:v1")
    until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"))
    yield platform
    platform.clean_up()


@pytest.fixture(scope="module")
def gateway(
    pods: Cluster, images: Mapping[str, Any], source: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """The controllers' own machine, where the gateway is."""
    directory = tmp_path_factory.mktemp("pods")
    (directory / "server.py").write_text(SERVER)
    write_python(directory / "own.tar", OWN, files={"/opt/server.py": directory / "server.py"})
    pods.load(directory / "own.tar")
    kubeconfig = bound(pods, USER, "klever-controllers", "klever-pods", "klever-lease")
    (directory / "pods.yaml").write_text(yaml.safe_dump(images))
    workplace = Platform(directory / "workplace")
    workplace.data.mkdir(parents=True)
    flags = ("--pods", str(directory / "pods.yaml"), "--plaintext")
    controllers = Controllers(source, workplace, kubeconfig, *flags, host=pods.host)
    until(controllers.terms)
    yield workplace
    controllers.end()
    workplace.run("klever", "down", "--data", str(workplace.data))


def test_a_signature_is_read_in_a_pod(pods: Cluster, gateway: Platform) -> None:
    pods.kubectl("create", "-f", "-", stdin=json.dumps(JOB))
    pods.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=240s", "modeljob/read")
    (job,) = json.loads(pods.kubectl("get", "jobs.batch", "-o", "json").stdout)["items"]
    assert job["metadata"]["ownerReferences"][0]["kind"] == "ModelJob"
    pods.kubectl("delete", "modeljob", "read", "--timeout=120s")
    until(lambda: not json.loads(pods.kubectl("get", "jobs.batch,pods,secrets", "-o", "json").stdout)["items"])


def test_a_model_is_served_from_pods(pods: Cluster, gateway: Platform) -> None:
    pods.kubectl("create", "-f", "-", stdin=json.dumps(serving()))
    pods.kubectl("wait", "--for=condition=Ready", "--timeout=240s", "serving/adder")
    status, answer = gateway.infer("adder")
    assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, [3.0] * 5)
    pods.kubectl("delete", "serving", "adder", "--timeout=120s")
    until(lambda: not children(pods, ALL), 60)
    assert gateway.infer("adder")[0] == 404


def children(pods: Cluster, kinds: str, namespace: str = "default") -> list[dict[str, Any]]:
    found = pods.kubectl("get", kinds, "-n", namespace, "-l", "kleveross.io/serving", "-o", "json").stdout
    items: list[dict[str, Any]] = json.loads(found)["items"]
    return items


def test_two_replicas_are_guarded_and_repaired(pods: Cluster, gateway: Platform) -> None:
    pods.kubectl("create", "-f", "-", stdin=json.dumps(serving(replicas=2)))
    pods.kubectl("wait", "--for=condition=Ready", "--timeout=240s", "serving/adder")
    (deployment,) = children(pods, "deployments")
    old = deployment["metadata"]["name"]
    (budget, policy) = children(pods, "poddisruptionbudgets,networkpolicies")
    assert budget["spec"]["maxUnavailable"] == 1
    assert policy["spec"]["ingress"][0]["from"][1]["ipBlock"]["cidr"].endswith("/32")

    pods.kubectl("patch", "deployment", old, "--type=merge", "-p", '{"spec": {"replicas": 5}}')
    until(lambda: children(pods, "deployments")[0]["spec"]["replicas"] == 2)
    pods.kubectl("delete", "poddisruptionbudgets,networkpolicies", "-l", "kleveross.io/serving")
    until(lambda: len(children(pods, "poddisruptionbudgets,networkpolicies")) == 2)
    pods.kubectl("delete", "serving", "adder", "--timeout=120s")
    until(lambda: not children(pods, f"{ALL},poddisruptionbudgets,networkpolicies"), 120)
