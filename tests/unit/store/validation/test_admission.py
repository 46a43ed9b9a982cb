"""Admission: accepted and rejected objects, and the violations of each rejected one."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from klever.api.kinds import MODEL_JOB, SERVING
from klever.errors import InvalidError
from klever.store.validation import SchemaAdmission

MODEL_JOBS = Path(__file__).parents[3] / "data" / "modeljobs"
"""As users of the original have them."""


def serving(*predictors: dict[str, Any], name: str = "digits", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "Serving",
        "metadata": {"name": name},
        "spec": {"predictors": list(predictors), **spec},
    }


def job(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "ModelJob",
        "metadata": {"name": "j"},
        "spec": {"model": "team/m:v1", "extraction": {"format": "ONNX"}, **spec},
    }


MAIN = {"name": "main", "model": "team/m:v1"}
MATCHED = {"matches": [{"headers": [{"name": "x", "exact": "1"}]}]}


def admit(obj: dict[str, Any], old: dict[str, Any] | None = None, subresource: Any = "") -> dict[str, Any]:
    kind = SERVING if obj["kind"] == "Serving" else MODEL_JOB
    return SchemaAdmission().admit(kind, copy.deepcopy(obj), old, subresource)


def faults(obj: dict[str, Any], old: dict[str, Any] | None = None, subresource: Any = "") -> dict[str, str]:
    with pytest.raises(InvalidError) as caught:
        admit(obj, old, subresource)
    return {v.field: v.description for v in caught.value.violations}


def test_defaults_are_filled_in_and_unknown_fields_pruned() -> None:
    admitted = admit(serving({**MAIN, "flavour": "vanilla"}, color="red"))
    assert admitted["spec"] == {"predictors": [MAIN], "replicas": 1, "revisionHistoryLimit": 10}


def test_nulls_are_absent_fields() -> None:
    assert admit(serving({**MAIN, "traffic": None, "replicas": None}))["spec"]["predictors"] == [MAIN]


@pytest.mark.parametrize(
    ("predictors", "field", "said"),
    [
        ([{**MAIN, "traffic": 120}], "spec.predictors[0].traffic", "must be between 0 and 100, not 120"),
        ([{**MAIN, "traffic": 80}, {**MAIN, "name": "b", "traffic": 30}], "spec.predictors", "must sum to 100"),
        ([{**MAIN, "traffic": 50}, {**MAIN, "traffic": 50}], "spec.predictors[1]", "duplicate name 'main'"),
        ([{**MAIN, "replicas": "two"}], "spec.predictors[0].replicas", "must be an integer, not 'two'"),
        ([{"name": "main"}], "spec.predictors[0]", "needs a model, an image or a command"),
        ([{"model": "m:v1"}], "spec.predictors[0].name", "is required"),
        ([{**MAIN, "name": "Main"}], "spec.predictors[0].name", "is not a DNS label"),
        ([], "spec.predictors", "at least 1"),
        ([{**MAIN, "matches": [{"headers": [{"name": "x"}]}]}],
         "spec.predictors[0].matches[0].headers[0]", "exactly one of"),
        ([{**MAIN, "traffic": 5, **MATCHED}], "spec.predictors[0].traffic", "takes no share"),
        ([{**MAIN, "runtime": "triton", "command": ["x"]}], "spec.predictors[0].runtime", "a command or an image"),
        ([{**MAIN, "args": ["x"]}], "spec.predictors[0].image", "belong to an image"),
        ([{**MAIN, "image": "a b"}], "spec.predictors[0].image", "without spaces"),
        ([{**MAIN, "autoscaling": {"max": 3}}], "spec.predictors[0].autoscaling", "exactly one of cpu"),
        ([{**MAIN, "autoscaling": {"max": 3, "cpu": 50}}], "spec.predictors[0].autoscaling.cpu", "resources.requests"),
        ([{**MAIN, "autoscaling": {"max": 3, "memory": 5}}],
         "spec.predictors[0].autoscaling.memory", "resources.requests"),
        ([{**MAIN, "autoscaling": {"min": 4, "max": 3, "metric": {"name": "q", "average": 5}}}],
         "spec.predictors[0].autoscaling.min", "at most max"),
    ],
)  # fmt: skip
def test_a_wrong_serving_is_refused_with_the_field_at_fault(predictors: list[Any], field: str, said: str) -> None:
    assert said in faults(serving(*predictors))[field]


@pytest.mark.parametrize("name", ["Digits", "a.b", "-a", "a" * 51, "1a"])
def test_a_name_that_is_no_label_is_refused(name: str) -> None:
    assert re.search("is not a DNS label|at most 50", faults(serving(MAIN, name=name))["metadata.name"])


@pytest.mark.parametrize(
    "predictors",
    [
        [MAIN],
        [{**MAIN, "traffic": 80}, {**MAIN, "name": "canary", "traffic": 20}],
        [MAIN, {**MAIN, "name": "beta", "matches": [{"headers": [{"name": "x-user", "regex": "a.*"}]}]}],
        [{**MAIN, "matches": [{"headers": [{"name": "x-user", "prefix": "a"}]}]}],
        [{"name": "main", "command": ["python3", "-m", "http.server"], "probePath": "/"}],
        [{**MAIN, "autoscaling": {"max": 3, "cpu": 50}, "resources": {"requests": {"cpu": "1"}}}],
        [{"name": "main", "image": "server:1", "args": ["-v"], "ports": [{"name": "http", "containerPort": 9000}]}],
        [{**MAIN, "resources": {"limits": {"cpu": 2, "memory": "512Mi", "nvidia.com/gpu": 1}}, "replicas": 0}],
    ],
)
def test_good_servings(predictors: list[Any]) -> None:
    assert len(admit(serving(*predictors))["spec"]["predictors"]) == len(predictors)


def test_a_job_does_exactly_one_thing() -> None:
    both = job(conversion={"mmdnn": {"from": "H5", "to": "ONNX"}}, desiredTag="team/m:v2")
    assert "exactly one of extraction and conversion" in faults(both)["spec"]


def test_the_spec_of_a_job_is_immutable_while_its_metadata_is_not() -> None:
    old = admit(job())
    assert faults(job(model="team/other:v1"), old)["spec"] == "is immutable, but for cancel: create another ModelJob"
    labelled = job()
    labelled["metadata"]["labels"] = {"a": "b"}
    assert admit(labelled, old)["metadata"]["labels"] == {"a": "b"}


def test_a_status_is_checked_when_it_is_written() -> None:
    obj = {**serving(MAIN), "status": {"phase": "Sleeping"}}
    assert "must be one of Pending, Deploying" in faults(obj, None, "status")["status.phase"]
    assert admit(obj)["spec"]["predictors"]


def test_existing_yaml_is_accepted_as_it_is() -> None:
    manifests = sorted(MODEL_JOBS.glob("*.yaml"))
    assert len(manifests) == 12
    for path in manifests:
        obj = yaml.safe_load(path.read_text())
        assert admit(obj)["spec"] == obj["spec"]
