"""`klever controllers --pods`: jobs and Servings run as pods of a real cluster, behind the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from hack.kubernetes.cluster import Cluster
from tests.e2e.controllers import Controllers
from tests.e2e.platform import Platform, until

JOB = {
    "apiVersion": "kleveross.io/v1alpha1",
    "kind": "ModelJob",
    "metadata": {"name": "read"},
    "spec": {"model": "team/adder:v1", "extraction": {"format": "ONNX"}},
}


def serving(**predictor: Any) -> dict[str, Any]:
    main = {"name": "main", "model": "team/adder:v1", **predictor}
    return {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "Serving",
        "metadata": {"name": "adder", "namespace": "default"},
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
    (directory / "pods.yaml").write_text(yaml.safe_dump(images))
    workplace = Platform(directory / "workplace")
    workplace.data.mkdir(parents=True)
    flags = ("--pods", str(directory / "pods.yaml"), "--plaintext")
    controllers = Controllers(source, workplace, pods.kubeconfig, *flags, host=pods.host)
    until(controllers.terms)
    yield workplace
    controllers.end()
    workplace.run("klever", "down", "--data", str(workplace.data))


def test_a_signature_is_read_in_a_pod(pods: Cluster, gateway: Platform) -> None:
    pods.kubectl("create", "-f", "-", stdin=json.dumps(JOB))
    pods.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s", "modeljob/read")
    (job,) = json.loads(pods.kubectl("get", "jobs.batch", "-o", "json").stdout)["items"]
    assert job["metadata"]["ownerReferences"][0]["kind"] == "ModelJob"
    pods.kubectl("delete", "modeljob", "read", "--timeout=60s")
    until(lambda: not json.loads(pods.kubectl("get", "jobs.batch,pods,secrets", "-o", "json").stdout)["items"])


def test_a_model_is_served_from_pods(pods: Cluster, gateway: Platform) -> None:
    pods.kubectl("create", "-f", "-", stdin=json.dumps(serving()))
    pods.kubectl("wait", "--for=condition=Ready", "--timeout=110s", "serving/adder")
    status, answer = gateway.infer("adder")
    assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, [3.0] * 5)
    pods.kubectl("delete", "serving", "adder", "--timeout=60s")
    until(
        lambda: (
            not json.loads(
                pods.kubectl(
                    "get", "deployments,pods,services,secrets", "-o", "json", "-l", "kleveross.io/serving"
                ).stdout
            )["items"]
        ),
        60,
    )
    assert gateway.infer("adder")[0] == 404
