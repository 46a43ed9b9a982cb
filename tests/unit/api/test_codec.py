"""Kubernetes JSON in, message, Kubernetes JSON out."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from klever.api.codec import from_object, to_object
from klever.api.kinds import SERVING
from klever.errors import InvalidError
from klever.store.validation import SchemaAdmission
from klever.v1alpha1.meta_pb2 import ObjectMeta
from klever.v1alpha1.modeljob_pb2 import ModelJob
from klever.v1alpha1.serving_pb2 import Serving

JOB: dict[str, Any] = {
    "apiVersion": "kleveross.io/v1alpha1",
    "kind": "ModelJob",
    "metadata": {"name": "j", "labels": {"a": "b"}, "creationTimestamp": "2026-01-31T12:00:00Z", "generation": 3},
    "spec": {
        "model": "team/m:v1",
        "initContainer": [{"name": "i", "ports": [{"containerPort": 8080}], "ratio": 0.5, "tty": None}],
        "extraction": {"format": "ONNX"},
        "ttlSecondsAfterFinished": 0,
    },
}


def violations(obj: dict[str, Any], *, strict: bool = False) -> dict[str, str]:
    with pytest.raises(InvalidError) as caught:
        from_object(obj, Serving, strict=strict)
    return {v.field: v.description for v in caught.value.violations}


def test_an_object_comes_back_equal() -> None:
    assert to_object(from_object(JOB, ModelJob, strict=True)) == JOB


def test_zero_is_kept_where_it_means_something() -> None:
    obj = {"spec": {"predictors": [{"name": "main", "model": "m", "replicas": 0, "traffic": 0}]}}
    assert to_object(from_object(obj, Serving)) == obj


def test_times_have_whole_seconds() -> None:
    meta = ObjectMeta(name="x", creation_timestamp=Timestamp(seconds=0, nanos=999_000_000))
    assert to_object(meta)["creationTimestamp"] == "1970-01-01T00:00:00Z"


def test_quantities_are_read_as_integers_or_strings_and_kept_as_strings() -> None:
    obj = {"spec": {"predictors": [{"name": "m", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}]}}
    resources = from_object(obj, Serving, strict=True).spec.predictors[0].resources
    assert dict(resources.limits) == {"cpu": "2", "memory": "1Gi"}


def test_every_wrong_field_is_named_with_its_path() -> None:
    obj = {"metadata": {"name": 7}, "spec": {"predictors": [{"name": "m", "replicas": "two", "traffic": 2**40}, 5]}}
    assert violations(obj) == {
        "metadata.name": "must be a string, not 7",
        "spec.predictors[0].replicas": "must be an integer, not 'two'",
        "spec.predictors[0].traffic": f"must be between -2147483648 and 2147483647, not {2**40}",
        "spec.predictors[1]": "must be an object, not 5",
    }


def test_unknown_fields_are_errors_only_where_asked() -> None:
    obj = {"spec": {"predictors": [{"name": "m", "replica": 1}]}}
    assert violations(obj, strict=True) == {"spec.predictors[0].replica": "unknown field"}
    assert from_object(obj, Serving).spec.predictors[0].name == "m"


@pytest.mark.parametrize("time", ["yesterday", "2026-01-31T12:00:00", 5, "9999-12-31T23:59:59-05:00"])
def test_a_time_that_is_none_is_refused(time: object) -> None:
    assert "metadata.creationTimestamp" in violations({"metadata": {"creationTimestamp": time}})


def test_a_null_is_an_absent_field() -> None:
    assert to_object(from_object({"spec": None, "metadata": {"name": "x"}}, Serving)) == {"metadata": {"name": "x"}}


@pytest.mark.parametrize("time", [Timestamp(seconds=10**15), Timestamp(seconds=-(10**15)), Timestamp(nanos=2 * 10**9)])
def test_a_message_with_a_time_that_is_none_is_refused(time: Timestamp) -> None:
    with pytest.raises(InvalidError, match="invalid time"):
        to_object(ObjectMeta(creation_timestamp=time))


def test_numbers_of_thousands_of_digits_are_refused() -> None:
    huge = 16**5000
    predictor = {"name": huge, "replicas": huge, "resources": {"limits": {"cpu": huge}}}
    assert violations({"spec": {"predictors": [predictor]}}) == {
        "spec.predictors[0].name": "must be a string, not a huge number",
        "spec.predictors[0].replicas": "must be between -2147483648 and 2147483647, not a huge number",
        "spec.predictors[0].resources.limits[cpu]": "must be a string, not a huge number",
    }


def test_a_value_that_no_message_can_hold_is_refused() -> None:
    with pytest.raises(InvalidError, match="invalid text"):
        from_object({"metadata": {"labels": {"a": "\ud800"}}}, ModelJob)
    with pytest.raises(InvalidError, match="initContainer\\[0\\]: invalid JSON"):
        from_object({"spec": {"initContainer": [{"a": 16**5000}]}}, ModelJob)


@pytest.mark.parametrize("number", [2**53, 2**64, 10**30, -(10**30)])
def test_a_large_number_in_a_pod_passes_validation(number: int) -> None:
    pod = {"spec": {"containers": [{"name": "server", "limit": number}]}}
    predictor = {"name": "main", "model": "team/m:v1", "pod": pod}
    document = {"metadata": {"name": "m"}, "spec": {"predictors": [predictor]}}
    serving = to_object(from_object(document, Serving, strict=True))
    SchemaAdmission().admit(SERVING, serving, None, "")
    (container,) = serving["spec"]["predictors"][0]["pod"]["spec"]["containers"]
    assert container["limit"] == pytest.approx(number)
