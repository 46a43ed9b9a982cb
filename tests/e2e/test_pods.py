"""`klever controllers --pods`: jobs and Servings run as pods of a real cluster, behind the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from hack.kubernetes.cluster import Cluster
from hack.kubernetes.python_image import PYTHON, write_python
from tests.e2e.controllers import LEASE_S, Controllers
from tests.e2e.inference import under_load
from tests.e2e.platform import Platform, until
from tests.e2e.rights import bound, granted, used

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
    """A platform that is only the registry here. Pods reach it at this machine's address on their bridge."""
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
    until(controllers.terms, LEASE_S)
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


def reason(pods: Cluster, name: str, condition: str = "Progressing") -> str:
    path = f'{{.status.conditions[?(@.type=="{condition}")].reason}}'
    return pods.kubectl("get", "serving", name, "-o", f"jsonpath={path}").stdout


def endless(name: str) -> dict[str, Any]:
    """Return a job whose init container does not end."""
    mine = {"name": "mine", "image": OWN, "command": [PYTHON, "-c", "import time; time.sleep(900)"]}
    return {**JOB, "metadata": {"name": name}, "spec": {**JOB["spec"], "initContainer": [mine]}}


def evict(pods: Cluster, name: str) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    path = f"/api/v1/namespaces/default/pods/{name}/eviction"
    pods.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_two_replicas_are_guarded_repaired_rolled_and_evicted(pods: Cluster, gateway: Platform) -> None:
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

    with under_load(gateway, "adder"):
        changed = serving(replicas=2, env=[{"name": "ROUND", "value": "2"}])
        pods.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(changed))
        until(lambda: [one["metadata"]["name"] != old for one in children(pods, "deployments")] == [True], 300)
        until(lambda: len(children(pods, "pods")) == 2, 120)
        evict(pods, children(pods, "pods")[0]["metadata"]["name"])
        pods.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=1", "--timeout=120s", "serving/adder")
        pods.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=240s", "serving/adder")
    pods.kubectl("delete", "serving", "adder", "--timeout=120s")
    until(lambda: not children(pods, f"{ALL},poddisruptionbudgets,networkpolicies"), 120)


def test_an_autoscaler_owns_the_number_of_replicas(pods: Cluster, gateway: Platform) -> None:
    requests = {"requests": {"cpu": "50m"}}
    scaled = serving(resources=requests, autoscaling={"min": 1, "max": 3, "cpu": 80})
    pods.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(scaled))
    (autoscaler,) = until(lambda: children(pods, "horizontalpodautoscalers"))
    name = autoscaler["spec"]["scaleTargetRef"]["name"]
    pods.kubectl("wait", "--for=condition=Ready", "--timeout=240s", "serving/adder")
    pods.kubectl("scale", "deployment", name, "--replicas=2")  # as the autoscaler does
    pods.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=240s", "serving/adder")
    pods.kubectl("annotate", "service", name, "touched=yes")
    pods.kubectl("delete", "horizontalpodautoscaler", name)
    until(lambda: children(pods, "horizontalpodautoscalers"))
    (deployment,) = children(pods, "deployments")
    assert deployment["spec"]["replicas"] == 2
    pods.kubectl("delete", "serving", "adder", "--timeout=120s")
    until(lambda: not children(pods, f"{ALL},horizontalpodautoscalers,poddisruptionbudgets,networkpolicies"), 120)


def test_an_image_of_a_user_serves_where_code_is_allowed(pods: Cluster, gateway: Platform) -> None:
    own = serving(
        "own", image=OWN, command=[PYTHON, "-I", "/opt/server.py"], ports=[{"name": "http", "containerPort": 9000}]
    )
    pods.kubectl("create", "-f", "-", stdin=json.dumps(own))
    until(lambda: reason(pods, "own") == "CodeNotAllowed", 60)
    pods.kubectl("label", "namespace", "default", "kleveross.io/allow-code=true")
    pods.kubectl("wait", "--for=condition=Ready", "--timeout=240s", "serving/own")
    assert gateway.http("GET", "/seldon/default/own/") == (200, "own")
    pods.kubectl("delete", "serving", "own", "--timeout=120s")


@pytest.mark.parametrize(
    ("predictor", "words"),
    [
        ({"pod": {"spec": {"hostNetwork": True}}}, "pod.spec.hostNetwork: must not be set"),
        ({"image": "Not:An:Image"}, "invalid image name"),
    ],
)
def test_a_predictor_that_can_never_run_has_failed(
    pods: Cluster, gateway: Platform, predictor: dict[str, Any], words: str
) -> None:
    pods.kubectl("create", "-f", "-", stdin=json.dumps(serving("wrong", **predictor)))
    until(lambda: reason(pods, "wrong") == "PredictorFailed", 120)
    message = pods.kubectl("get", "serving", "wrong", "-o", "jsonpath={.status.conditions[0].message}").stdout
    assert words in message
    pods.kubectl("delete", "serving", "wrong", "--timeout=120s")


def test_an_init_container_that_failed_is_named(pods: Cluster, gateway: Platform) -> None:
    mine = {"name": "mine", "image": OWN, "command": [PYTHON, "-c", "import sys; sys.exit('no disk')"]}
    failing = {**JOB, "metadata": {"name": "failing"}, "spec": {**JOB["spec"], "initContainer": [mine]}}
    pods.kubectl("create", "-f", "-", stdin=json.dumps(failing))
    pods.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=120s", "modeljob/failing")
    message = pods.kubectl("get", "modeljob", "failing", "-o", "jsonpath={.status.message}").stdout
    assert message == "init container mine: exit code 1\nno disk"
    pods.kubectl("delete", "modeljob", "failing", "--timeout=120s")


def test_a_job_is_cancelled_in_its_pod(pods: Cluster, gateway: Platform) -> None:
    pods.kubectl("create", "-f", "-", stdin=json.dumps(endless("long")))
    pods.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "--timeout=120s", "modeljob/long")
    pods.kubectl("patch", "modeljob", "long", "--type=merge", "-p", '{"spec": {"cancel": true}}')
    pods.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=120s", "modeljob/long")
    pods.kubectl("delete", "modeljob", "long", "--timeout=120s")


def test_the_role_grants_what_is_used(pods: Cluster) -> None:
    applied = {(resource, "create") for resource, verb in used(pods, USER) if verb == "patch"}
    rights = used(pods, USER)
    assert rights <= granted("controllers.yaml", "pods.yaml")
    assert granted("pods.yaml") - rights - applied == NOT_TODAY


def test_a_namespace_with_a_serving_and_a_job_can_be_deleted(pods: Cluster, gateway: Platform) -> None:
    pods.kubectl("create", "namespace", "brief")
    for obj in (serving(), endless("long")):
        placed = {**obj, "metadata": {"name": obj["metadata"]["name"]}}
        pods.kubectl("create", "-n", "brief", "-f", "-", stdin=json.dumps(placed))
    pods.kubectl("wait", "-n", "brief", "--for=jsonpath={.status.phase}=Running", "--timeout=120s", "modeljob/long")
    until(lambda: children(pods, "pods", "brief"))
    pods.kubectl("delete", "namespace", "brief", "--timeout=200s")
