"""What an import makes of the fields of a SeldonDeployment, one by one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from klever.api.codec import from_object, to_object
from klever.api.kinds import SERVING
from klever.backends import PredictorWorkload
from klever.backends.kubernetes.overrides import check_overrides
from klever.errors import InvalidError
from klever.seldon.deployment import Imported, import_deployment
from klever.store.validation import SchemaAdmission
from klever.v1alpha1.serving_pb2 import Serving

POD = "spec.predictors[0].componentSpecs[0].spec"


def predictor(name: str = "main", pod: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": name}]} | (pod or {})
    graph = {"name": name, "modelUri": "team/digits:v1"} | fields.pop("graph", {})
    component = {"spec": spec} | fields.pop("component", {})
    return {"name": name, "graph": graph, "componentSpecs": [component], **fields}


def deployment(*predictors: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "digits"},
        "spec": {"predictors": list(predictors or (predictor(),)), **spec},
    }


def imported(*predictors: dict[str, Any], **spec: Any) -> Imported:
    found = import_deployment(deployment(*predictors, **spec))
    SchemaAdmission().admit(SERVING, found.serving, None, "")
    return found


def first(found: Imported) -> dict[str, Any]:
    fields: dict[str, Any] = found.serving["spec"]["predictors"][0]
    return fields


def fields_of(found: Imported) -> set[str]:
    return {warning.field for warning in found.warnings}


def errors(*predictors: Any, **spec: Any) -> set[str]:
    with pytest.raises(InvalidError) as error:
        import_deployment(deployment(*predictors, **spec))
    return {violation.field for violation in error.value.violations}


def test_a_plain_deployment_is_imported_without_a_warning() -> None:
    found = imported(replicas=2, transport="rest", protocol="v2")
    assert found.serving["spec"] == {"replicas": 2, "predictors": [{"name": "main", "model": "team/digits:v1"}]}
    assert not found.warnings


def headers(*conditions: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    return [{"headers": condition} for condition in conditions]


def test_header_matches_have_the_same_meaning() -> None:
    matching = headers(
        {"X-User": {"exact": "me"}, "x-group": {"prefix": "beta-"}},
        {"x-tag": {"include": ".*gold.*"}},
        {"x-agent": {"exclude": "bot+1"}},
    )
    found = imported(predictor("other"), predictor(trafficMatchs=matching), defaultPredictor="other")
    assert found.serving["spec"]["predictors"][1]["matches"] == [
        {"headers": [{"name": "x-user", "exact": "me"}, {"name": "x-group", "prefix": "beta-"}]},
        {"headers": [{"name": "x-tag", "regex": ".*gold.*"}]},
        {
            "headers": [
                {"name": "x-agent", "present": True},
                {"name": "x-agent", "regex": r".*bot\+1.*", "negate": True},
            ]
        },
    ]
    assert first(found) == {"name": "other", "model": "team/digits:v1"}
    assert fields_of(found) == {"spec.defaultPredictor"}  # it stands before a match


@pytest.mark.parametrize("condition", [{}, {"suffix": "x"}, {"exact": "x", "prefix": "y"}, {"exact": 1}, "x"])
def test_an_unknown_header_condition_is_an_error(condition: Any) -> None:
    found = errors(predictor(trafficMatchs=headers({"x-user": condition})))
    assert all(field.startswith("spec.predictors[0].trafficMatchs[0].headers[x-user]") for field in found)


def test_a_match_without_headers_is_an_error() -> None:
    assert errors(predictor(trafficMatchs=[{}])) == {"spec.predictors[0].trafficMatchs[0].headers"}


def test_the_default_predictor_takes_what_no_other_one_matches() -> None:
    matching = headers({"x-user": {"exact": "me"}})
    found = imported(
        predictor("beta", trafficMatchs=matching, traffic=30),
        predictor("idle"),
        predictor("main", trafficMatchs=matching),
        defaultPredictor="main",
    )
    predictors = {one["name"]: one for one in found.serving["spec"]["predictors"]}
    assert (predictors["idle"]["traffic"], predictors["main"]["traffic"]) == (0, 100)
    assert "matches" not in predictors["main"]
    assert fields_of(found) == {
        "spec.predictors[0].traffic",
        "spec.predictors[1]",
        "spec.predictors[2].trafficMatchs",
    }


def test_predictors_that_no_request_reached_are_reported() -> None:
    matching = predictor("beta", trafficMatchs=headers({"x-user": {"exact": "me"}}))
    assert fields_of(imported(matching, predictor("rest"))) == {"spec.predictors[1]"}
    assert errors(matching, predictor("one"), predictor("two")) == {"spec.predictors[1]", "spec.predictors[2]"}


def test_shares_that_cannot_work_are_errors() -> None:
    assert errors(predictor("one", traffic=50), predictor("two", traffic=40)) == {"spec.predictors"}
    assert errors(defaultPredictor="nobody") == {"spec.defaultPredictor"}
    assert fields_of(imported(defaultPredictor="main")) == {"spec.defaultPredictor"}


def test_a_shadow_is_left_out_with_a_warning() -> None:
    found = imported(predictor(traffic=100), predictor("copy", shadow=True))
    assert [one["name"] for one in found.serving["spec"]["predictors"]] == ["main"]
    assert fields_of(found) == {"spec.predictors[1]"}


@pytest.mark.parametrize("uri", ["gs://bucket/iris", "s3://bucket/iris", "Team/Digits", "pvc://claim/model"])
def test_a_model_that_is_not_in_a_registry_is_an_error(uri: str) -> None:
    assert errors(predictor(graph={"modelUri": uri})) == {"spec.predictors[0].graph.modelUri"}


def test_a_server_of_seldon_becomes_a_runtime() -> None:
    graph = {"name": "main", "modelUri": "team/iris:v1", "implementation": "SKLEARN_SERVER"}
    found = imported({"name": "main", "graph": graph})
    assert first(found) == {"name": "main", "model": "team/iris:v1"}
    assert fields_of(found) == {"spec.predictors[0].graph.implementation"}
    unknown = {"name": "main", "graph": graph | {"implementation": "HUGGINGFACE_SERVER"}}
    assert errors(unknown) == {"spec.predictors[0].graph.implementation"}


def test_a_graph_of_several_nodes_is_an_error() -> None:
    graph = {"children": [{"name": "second"}], "type": "ROUTER"}
    assert errors(predictor(graph=graph)) == {"spec.predictors[0].graph.children", "spec.predictors[0].graph.type"}
    several = predictor() | {"componentSpecs": [{"spec": {}}, {"spec": {}}]}
    assert "spec.predictors[0].componentSpecs" in errors(several)
    unnamed = predictor(pod={"containers": [{"name": "one"}, {"name": "two"}]})
    assert errors(unnamed) == {f"{POD}.containers"}


def server(**fields: Any) -> dict[str, Any]:
    return predictor(pod={"containers": [{"name": "main", **fields}]})


def test_an_image_of_the_user_keeps_its_server() -> None:
    probe = {"httpGet": {"path": "/ready", "port": 9000}}
    env = [{"name": "LEVEL", "value": "2"}, {"name": "MODEL_STORE", "value": "/models"}]
    found = imported(server(image="example/server:1", args=["--fast"], env=env, readinessProbe=probe))
    assert first(found) == {
        "name": "main",
        "model": "team/digits:v1",
        "image": "example/server:1",
        "args": ["--fast"],
        "env": env,
        "ports": [{"name": "http", "containerPort": 9000}, {"name": "grpc", "containerPort": 9500}],
        "probePath": "/ready",
    }
    assert fields_of(found) == {"spec.predictors[0].image"}  # on Kubernetes only


def test_ports_come_from_the_container_or_the_graph() -> None:
    listed = imported(server(image="a/b", ports=[{"containerPort": 5000, "protocol": "TCP"}]))
    assert first(listed)["ports"] == [{"name": "http", "containerPort": 5000}]
    named = server(image="a/b")
    named["graph"]["endpoint"] = {"type": "GRPC", "service_port": 7000}
    assert first(imported(named))["ports"] == [{"name": "grpc", "containerPort": 7000}]
    where = f"{POD}.containers[0].ports[0]"
    assert errors(server(image="a/b", ports=[{"containerPort": 80}])) == {f"{where}.containerPort"}
    other = imported(server(image="a/b", ports=[{"name": "debug", "containerPort": 6000}]))
    assert where in fields_of(other)


def test_a_server_of_the_predecessor_becomes_a_runtime() -> None:
    env = [
        {"name": "SERVING_NAME", "value": "digits"},
        {"name": "MODEL_STORE", "value": "/mnt"},
        {"name": "NVIDIA_VISIBLE_DEVICES", "value": ""},
        {"name": "LEVEL", "value": "2"},
    ]
    limits = {"limits": {"cpu": 2, "nvidia.com/gpu": "1"}}
    found = imported(server(image="host:5000/klever/tritonserver@sha256:1", env=env, resources=limits))
    assert first(found) == {
        "name": "main",
        "model": "team/digits:v1",
        "env": [{"name": "LEVEL", "value": "2"}],
        "resources": {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}},
    }
    assert fields_of(found) == {f"{POD}.containers[0].image"}
    assert first(imported(server(image="klever/tritonserver", command=["tritonserver"])))["image"]


def test_the_init_container_decides_the_model() -> None:
    puller = {"name": "main-model-initializer", "args": ["team/digits:v2", "/mnt/m"], "env": [{"name": "PASSWORD"}]}
    found = imported(predictor(pod={"initContainers": [puller, {"name": "prepare", "image": "a/b"}]}))
    assert first(found)["model"] == "team/digits:v2"
    assert first(found)["pod"] == {"spec": {"initContainers": [{"name": "prepare", "image": "a/b"}]}}
    where = {f"{POD}.initContainers[0]", "spec.predictors[0].graph.modelUri", "spec.predictors[0].pod"}
    assert fields_of(found) == where
    assert "without its env" in str(found.warnings)


def test_a_pod_keeps_what_a_predictor_allows() -> None:
    volumes = [{"name": "models-mnt", "emptyDir": {}}, {"name": "labels", "configMap": {"name": "labels"}}]
    mounts = [{"name": "models-mnt", "mountPath": "/mnt"}, {"name": "labels", "mountPath": "/labels"}]
    container = {"name": "main", "volumeMounts": mounts, "lifecycle": {"preStop": {}}}
    pod = {
        "containers": [container, {"name": "proxy", "image": "a/b"}],
        "volumes": volumes,
        "nodeSelector": {"disk": "ssd"},
        "schedulerName": "volcano",
        "restartPolicy": "Always",
        "serviceAccountName": "admin",
        "hostNetwork": True,
    }
    annotations = {"seldon.io/no-engine": "true", "seldon.io/rest-timeout": "9", "sidecar.istio.io/inject": "false"}
    component = {"metadata": {"name": "main", "labels": {"tier": "b"}}}
    found = imported(predictor(pod=pod, annotations=annotations, labels={"team": "a"}, component=component))
    assert first(found)["pod"] == {
        "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}, "labels": {"team": "a", "tier": "b"}},
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "schedulerName": "volcano",
            "volumes": volumes[1:],
            "containers": [{"name": "server", "volumeMounts": mounts[1:]}, {"name": "proxy", "image": "a/b"}],
        },
    }
    assert not list(check_overrides(PredictorWorkload("main", "id", 1, "triton", pod=first(found)["pod"])))
    assert fields_of(found) == {
        "spec.predictors[0].annotations[seldon.io/rest-timeout]",
        "spec.predictors[0].pod",
        f"{POD}.containers[0].lifecycle",
        f"{POD}.hostNetwork",
        f"{POD}.serviceAccountName",
    }


def test_an_image_keeps_the_allowed_part_of_its_security_context() -> None:
    context = {"runAsUser": 0, "runAsNonRoot": True}
    pod = {"containers": [{"name": "main", "image": "a/b", "securityContext": context}], "securityContext": context}
    found = imported(predictor(pod=pod))
    kept = {"runAsNonRoot": True}
    assert first(found)["pod"]["spec"] == {
        "securityContext": kept,
        "containers": [{"name": "server", "securityContext": kept}],
    }
    where = {f"{POD}.securityContext.runAsUser", f"{POD}.containers[0].securityContext.runAsUser"}
    assert where <= fields_of(found)


CPU = {"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 70}}
CPU_V2 = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
QUEUE = {"type": "Pods", "pods": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": 5}}}


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"metrics": [CPU]}, {"cpu": 70}),
        ({"metricsv2": [CPU_V2, QUEUE]}, {"cpu": 70}),
        ({"metricsv2": [QUEUE]}, {"metric": {"name": "queue", "average": "5"}}),
    ],
)
def test_an_autoscaler_is_imported(metrics: dict[str, Any], expected: dict[str, Any]) -> None:
    bounds = {"minReplicas": 2, "maxReplicas": 5}
    pod = {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}
    found = imported(predictor(pod=pod, component={"hpaSpec": bounds | metrics, "replicas": 3}, replicas=1))
    assert first(found)["autoscaling"] == {"min": 2, "max": 5, **expected}
    assert first(found)["replicas"] == 3


def test_an_autoscaler_that_cannot_work_is_an_error() -> None:
    where = "spec.predictors[0].componentSpecs[0].hpaSpec"
    external = {"type": "External", "external": {}}
    assert errors(predictor(component={"hpaSpec": {"maxReplicas": 2, "metrics": [external]}})) == {
        f"{where}.metrics[0].type"
    }
    assert errors(predictor(component={"hpaSpec": {"maxReplicas": 2}})) == {f"{where}.metricsv2"}


def test_nothing_is_dropped_silently() -> None:
    unknown = predictor(
        explainer={"type": "anchor_tabular"}, svcOrchSpec={"replicas": 1}, graph={"logger": {"mode": "all"}}
    )
    found = imported(
        unknown, oauth_key="key", protocol="seldon", annotations={"a": "b", "seldon.io/headless-svc": "true"}
    )
    assert fields_of(found) == {
        "spec.annotations",
        "spec.annotations[seldon.io/headless-svc]",
        "spec.oauth_key",
        "spec.predictors[0].explainer",
        "spec.predictors[0].graph.logger",
        "spec.predictors[0].svcOrchSpec",
        "spec.protocol",
    }
    assert "key" not in [warning.description for warning in found.warnings]


def test_progress_deadlines_become_the_longest_of_them() -> None:
    one = predictor("one", traffic=60, progressDeadlineSeconds=30)
    two = predictor("two", traffic=40, progressDeadlineSeconds=90)
    assert imported(one, two).serving["spec"]["strategy"] == {"progressDeadlineSeconds": 90}


@pytest.mark.parametrize(
    "document",
    [None, [], "text", {}, {"kind": "SeldonDeployment"}, {"apiVersion": "apps/v1", "kind": "Deployment"}],
)
def test_another_document_is_an_error(document: Any) -> None:
    with pytest.raises(InvalidError):
        import_deployment(document)


WRONG: list[Any] = [None, 10**30, "text", True, [[]], ["x"], {"x": []}]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_value_of_another_type_is_an_error_and_no_crash(wrong: Any) -> None:
    matching = headers({"x": {"exact": "y"}})
    container = {"name": "main", "image": "a/b", "env": [{"name": "A"}], "volumeMounts": [{"name": "x"}]}
    pod = {"containers": [container], "initContainers": [{"name": "x", "args": ["a/b"]}], "volumes": [{"name": "x"}]}
    document = deployment(predictor(trafficMatchs=matching, pod=pod, component={"hpaSpec": {"metrics": [CPU]}}))
    for changed in _replaced(document, wrong):
        with suppress(InvalidError):
            serving = from_object(import_deployment(changed).serving, Serving, strict=True)
            SchemaAdmission().admit(SERVING, to_object(serving), None, "")


def _replaced(value: Any, wrong: Any) -> list[Any]:
    """Return copies of a document in each of which one value is replaced."""
    changed = [wrong]
    if isinstance(value, dict):
        changed += [{**value, key: other} for key in value for other in _replaced(value[key], wrong)]
    elif isinstance(value, list):
        changed += [
            [*value[:index], other, *value[index + 1 :]]
            for index in range(len(value))
            for other in _replaced(value[index], wrong)
        ]
    return changed
