"""Filters and orders of lists."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klever.api.filters import parse_filter, parse_order
from klever.errors import InvalidError
from klever.v1alpha1.model_service_pb2 import ModelVersion
from klever.v1alpha1.serving_pb2 import Serving


def served() -> Serving:
    serving = Serving()
    serving.metadata.name = "digits"
    serving.metadata.labels["app.io/team"] = "vision"
    serving.metadata.creation_timestamp.FromJsonString("2026-01-31T12:00:00Z")
    serving.status.phase, serving.status.replicas = "Ready", 3
    serving.spec.predictors.add(name="main", model="team/digits:v1", traffic=0)
    serving.spec.predictors.add(name="canary", model="team/digits:v2")
    serving.status.conditions.add(type="Ready", status="True")
    return serving


HOLD = (
    "", "digits", "dig its", "-other", "NOT other", "status.phase = Ready", "status.phase = \"Ready\"",
    "status.phase = (Failed OR Ready)", "status.phase = Failed OR status.phase = Ready AND digits",
    "status.phase != Failed", "status.phase:ead", "status.phase = Re*", "status.phase = '*ady'", "status.phase = *ead*",
    "metadata.labels.\"app.io/team\" = vision", "metadata.labels.app.io/team = vision", "metadata.labels:app.io/team",
    "status.replicas >= 3", "status.replicas < 4 status.replicas > 2", "status.replicas != 4",
    "metadata.creation_timestamp > \"2026-01-01T00:00:00Z\"", "metadata.creationTimestamp = \"2026-01-31T12:00:00Z\"",
    "spec.predictors.name = canary", "spec.predictors:*", "NOT spec.replicas:*", "status.conditions.status = True",
    "(digits)", "NOT (status.phase = Failed OR status.replicas = 0)", "spec.predictors.traffic = 0",
)  # fmt: skip
FAIL = (
    "other", "-digits", "status.phase = ready", "status.phase = Failed", "status.phase != Ready", "status.url:*",
    "metadata.labels.team = vision", "metadata.labels:team", "status.replicas > 3", "spec.predictors.name != canary",
    "metadata.creation_timestamp > \"2026-02-01T00:00:00Z\"", "spec.replicas = 0", "digits status.replicas = 2",
)  # fmt: skip
WRONG = (
    "(", ")", "digits)", "status.phase =", "= Ready", "status.phase = = Ready", "status.nothing = 1", "spec = 1",
    "status.replicas > many", "status.replicas > 1" + "0" * 50, "metadata.creation_timestamp > yesterday", "AND",
    "a OR", "NOT", "status.conditions.status.x = 1", "status.phase = (a = b)", "\"open", "x" * 5000,
    "(" * 40 + "a" + ")" * 40,
    ".a = b", "a,b", "spec.predictors = main",
)  # fmt: skip


@pytest.mark.parametrize("text", HOLD)
def test_filters_that_match(text: str) -> None:
    assert parse_filter(text, Serving.DESCRIPTOR).matches(served())


@pytest.mark.parametrize("text", FAIL)
def test_filters_that_do_not_match(text: str) -> None:
    assert not parse_filter(text, Serving.DESCRIPTOR).matches(served())


@pytest.mark.parametrize("text", WRONG)
def test_an_invalid_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_filter(text, Serving.DESCRIPTOR)
    assert [violation.field for violation in caught.value.violations] == ["filter"]


@settings(deadline=None)
@given(st.text(alphabet="abcimnostu.()=!<>:-\"'* \\AND ORT", max_size=60))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    with suppress(InvalidError):
        parse_filter(text, Serving.DESCRIPTOR).matches(served())


def test_enums_are_compared_by_name() -> None:
    version = ModelVersion(trust=ModelVersion.CODE, tag="v1")
    version.metrics.add(name="accuracy", value=0.97)
    for text in ("trust = CODE", "trust != DATA", "metrics.name:accuracy", "metrics.value > 0.9", "v1"):
        assert parse_filter(text, ModelVersion.DESCRIPTOR, "tag").matches(version), text
    for text in ("trust = code", "trust > DATA"):
        with pytest.raises(InvalidError):
            parse_filter(text, ModelVersion.DESCRIPTOR)


def test_the_store_selects_what_it_can() -> None:
    filter_ = parse_filter('metadata.name = "a,b=c" AND status.phase != Failed', Serving.DESCRIPTOR)
    selector, left = filter_.split(["metadata.name", "status.phase"])
    assert (selector, left.test) == ("metadata.name=a\\,b\\=c,status.phase!=Failed", None)
    selector, left = parse_filter("status.phase = Ready AND digits", Serving.DESCRIPTOR).split(["status.phase"])
    assert (selector, left.test is None) == ("status.phase=Ready", False)
    selector, left = parse_filter("status.phase = R* OR digits", Serving.DESCRIPTOR).split(["status.phase"])
    assert (selector, left.test is None) == ("", False)


def test_an_order_has_fields_and_directions() -> None:
    order = parse_order(" status.replicas   desc,metadata.name", Serving.DESCRIPTOR, "metadata.name")
    assert order.text == "status.replicas desc, metadata.name"
    assert order.values_of_message(served()) == [3, "digits"]
    assert order.values_of_object({"metadata": {"name": "a"}}) == [0, "a"]
    assert sorted([[1, "a"], [2, "b"], [2, "a"]], key=order.key) == [[2, "a"], [2, "b"], [1, "a"]]


def test_a_filter_of_many_words_is_refused() -> None:
    parse_filter(" OR ".join(["a"] * 150), Serving.DESCRIPTOR)
    with pytest.raises(InvalidError, match="words"):
        parse_filter(" OR ".join(["a"] * 400), Serving.DESCRIPTOR)
