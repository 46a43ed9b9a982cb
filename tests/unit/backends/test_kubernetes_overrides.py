"""Images and pods of users on a cluster: what they may change, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from klever.backends import PredictorWorkload
from klever.backends.kubernetes.manifests import deployment, service
from klever.backends.kubernetes.overrides import check_overrides
from klever.backends.kubernetes.settings import Image
from klever.formats import Trust
from klever.kube.secrets import check_secrets
from tests.unit.backends.test_kubernetes_objects import IMAGE, PREDICTOR, SETTINGS, WORKLOAD

GPU: dict[str, Any] = {
    "metadata": {"labels": {"team": "vision"}, "annotations": {"sidecar.istio.io/inject": "false"}},
    "spec": {
        "nodeSelector": {"env": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "schedulerName": "volcano",
        "terminationGracePeriodSeconds": 90,
        "imagePullSecrets": [{"name": "mine"}],
        "securityContext": {"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "shapes", "configMap": {"name": "shapes"}}],
        "containers": [{"name": "server", "volumeMounts": [{"name": "shapes", "mountPath": "/shapes"}]}],
        "initContainers": [{"name": "storage-initializer", "resources": {"limits": {"memory": "1Gi"}}}],
    },
}
OWN = PredictorWorkload(
    "main",
    "r1",
    1,
    "custom",
    model="team/m@sha256:" + "a" * 64,
    image="registry.example/server:1",
    args=("--fast",),
    ports={"http": 9000},
    probe_path="/health",
)
SIDECAR = {"name": "log", "image": "log:1", "securityContext": {"runAsUser": 7}}


def pod(**spec: Any) -> PredictorWorkload:
    return replace(PREDICTOR, pod={"spec": spec})


def container(**fields: Any) -> PredictorWorkload:
    return pod(containers=[{"name": "server", **fields}])


def test_a_pod_with_a_patch(golden: Callable[[str, str], None]) -> None:
    patched = replace(PREDICTOR, pod=GPU)
    assert not list(check_overrides(patched))
    made = deployment(WORKLOAD, patched, IMAGE, SETTINGS)["spec"]["template"]
    golden("kubernetes/patched.json", json.dumps(made, indent=2) + "\n")


def test_a_predictor_overrides_the_pod_of_the_operator() -> None:
    operators = replace(SETTINGS, pod={"spec": {"schedulerName": "default", "nodeSelector": {"pool": "models"}}})
    spec = deployment(WORKLOAD, replace(PREDICTOR, pod=GPU), IMAGE, operators)["spec"]["template"]["spec"]
    assert (spec["schedulerName"], spec["nodeSelector"]) == ("volcano", {"pool": "models", "env": "gpu"})


def test_an_image_of_a_user(golden: Callable[[str, str], None]) -> None:
    made = [deployment(WORKLOAD, OWN, Image(OWN.image), SETTINGS), service(WORKLOAD, OWN, SETTINGS)]
    golden("kubernetes/image.json", json.dumps(made, indent=2) + "\n")


def test_an_image_finds_its_model_where_its_environment_says() -> None:
    named = replace(OWN, env=({"name": "MODEL_STORE", "value": "/models"},))
    spec = deployment(WORKLOAD, named, Image(OWN.image), SETTINGS)["spec"]["template"]["spec"]
    assert spec["containers"][0]["volumeMounts"][0]["mountPath"] == "/models/digits"
    assert [one for one in spec["containers"][0]["env"] if one["name"] == "MODEL_STORE"] == list(named.env)


def test_an_image_without_a_model_needs_no_initializer() -> None:
    spec = deployment(WORKLOAD, replace(OWN, model=""), Image(OWN.image), SETTINGS)["spec"]["template"]["spec"]
    assert spec["initContainers"] == []


@pytest.mark.parametrize(
    ("predictor", "field"),
    [
        *((pod(**{name: True}), name) for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")),
        *((pod(**{name: "admin"}), name) for name in ("serviceAccountName", "serviceAccount", "nodeName")),
        (pod(automountServiceAccountToken=True), "automountServiceAccountToken"),
        (pod(priorityClassName="system-node-critical"), "priorityClassName"),
        (pod(unheardOf=1), "unheardOf"),
        (pod(volumes=[{"name": "h", "hostPath": {"path": "/"}}]), "volumes[0].hostPath"),
        (pod(volumes=[{"name": "workload", "emptyDir": {}}]), "volumes[0].name"),
        (pod(volumes=[{"name": "s", "secret": {"secretName": "other.klever"}}]), "volumes[0].secret.secretName"),
        (
            pod(volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
            "volumes[0].projected.sources[0].serviceAccountToken",
        ),
        (pod(securityContext={"runAsUser": 0}), "securityContext.runAsUser"),
        (pod(securityContext={"seccompProfile": {"type": "Unconfined"}}), "securityContext.seccompProfile"),
        (pod(securityContext={"sysctls": []}), "securityContext.sysctls"),
        (pod(securityContext="none"), "securityContext"),
        (container(securityContext={"privileged": True}), "containers[0].securityContext.privileged"),
        (container(securityContext={"capabilities": {"add": ["X"]}}), "containers[0].securityContext.capabilities"),
        (container(image="mine:1"), "containers[0].image"),
        (container(command=["sh"]), "containers[0].command"),
        (container(volumeMounts=[{"name": "workload", "mountPath": "/x"}]), "containers[0].volumeMounts[0].name"),
        (container(volumeMounts=[{"mountPath": "/klever/work"}]), "containers[0].volumeMounts[0].mountPath"),
        (pod(initContainers=[{"name": "storage-initializer", "image": "mine:1"}]), "initContainers[0].image"),
        (pod(containers=[{"name": "server", "$patch": "delete"}]), "containers[0].$patch"),
        (replace(pod(containers=[SIDECAR]), trust=Trust.DATA), "containers[0]"),
        (
            pod(containers=[SIDECAR | {"ports": [{"containerPort": 1, "hostPort": 1}]}]),
            "containers[0].ports[0].hostPort",
        ),
        (
            pod(containers=[SIDECAR | {"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}}]),
            "containers[0].livenessProbe.httpGet.host",
        ),
        (replace(OWN, pod={"spec": {"containers": [{"name": "server", "image": "x:1"}]}}), "containers[0].image"),
    ],
)  # fmt: skip
def test_a_patch_that_gives_access_to_more_is_refused(predictor: PredictorWorkload, field: str) -> None:
    assert f"pod.spec.{field}" in [violation.field for violation in check_overrides(predictor)]


@pytest.mark.parametrize(
    "patch",
    [{"kind": "Pod"}, {"metadata": {"labels": {"kleveross.io/serving": "other"}}}, {"spec": {"containers": [7]}},
     {"metadata": {"labels": {"$patch": "replace"}}}, {"spec": {"volumes": [{}]}}, {"metadata": {"name": "x"}}],
)  # fmt: skip
def test_a_patch_of_another_shape_is_refused(patch: dict[str, Any]) -> None:
    assert list(check_overrides(replace(PREDICTOR, pod=patch)))


def test_a_further_container_runs_under_the_restricted_standard() -> None:
    patched = pod(containers=[SIDECAR])
    assert not list(check_overrides(patched))
    server, log = deployment(WORKLOAD, patched, IMAGE, SETTINGS)["spec"]["template"]["spec"]["containers"]
    assert (server["name"], log["name"]) == ("server", "log")
    assert log["securityContext"] == {**server["securityContext"], "runAsUser": 7}


def test_no_variable_reads_a_secret_of_klever() -> None:
    env = [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "convert.klever", "key": "push"}}}]
    assert [violation.field for violation in check_secrets(env, "env")] == ["env[0].valueFrom.secretKeyRef.name"]
