"""Requests that are small on the wire and would be large in memory are refused before they are parsed."""

from __future__ import annotations

from typing import Any

import pytest

from klever.api.bounds import check_bounds
from klever.errors import InvalidError
from klever.v1alpha1.modeljob_pb2 import ModelJob
from klever.v1alpha1.serving_pb2 import Serving


def serving() -> Serving:
    found = Serving()
    for index in range(16):
        predictor = found.spec.predictors.add(name=f"p{index}", model="a/b:v1")
        for number in range(64):
            predictor.env.add(name=f"V{number}", value="x" * 100)
        predictor.matches.add().headers.add(name="x", exact="y")
    found.metadata.labels.update({f"k{number}": "v" for number in range(200)})
    return found


def test_the_largest_object_that_a_schema_allows_passes() -> None:
    check_bounds(serving().SerializeToString(), Serving.DESCRIPTOR)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("spec.predictors", "spec.predictors"),
        ("spec.predictors.env", "spec.predictors[0].env"),
        ("spec.predictors.matches.headers", "spec.predictors[0].matches[0].headers"),
        ("metadata.ownerReferences", "metadata.ownerReferences"),
        ("metadata.finalizers", "metadata.finalizers"),
        ("metadata.labels", "metadata.labels"),
    ],
)
def test_a_list_with_too_many_empty_items_is_named(path: str, field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_bounds(nested(path.split("."), 100_000), Serving.DESCRIPTOR)
    assert [violation.field for violation in refused.value.violations] == [field]


def nested(path: list[str], count: int) -> bytes:
    """Encode a Serving with `count` empty items at a path."""
    message: Any = Serving.DESCRIPTOR
    keys = []
    for name in path:
        field = next(f for f in message.fields if f.json_name == name)
        keys.append(bytes(_varint(field.number << 3 | 2)))
        message = field.message_type
    content = (keys[-1] + b"\0") * count
    for key in reversed(keys[:-1]):
        content = key + bytes(_varint(len(content))) + content
    return content


def _varint(number: int) -> list[int]:
    found = []
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return [*found, number]


def test_a_free_form_field_is_bounded_by_its_bytes() -> None:
    found = Serving()
    found.spec.predictors.add().env.add(name="A").value_from.update({"a": [[]] * 50_000})
    with pytest.raises(InvalidError) as refused:
        check_bounds(found.SerializeToString(), Serving.DESCRIPTOR)
    assert refused.value.violations[0].field == "spec.predictors[0].env[0].valueFrom"
    job = ModelJob()
    job.spec.init_container.add().update({"a": "x" * 100_000})
    with pytest.raises(InvalidError) as refused:
        check_bounds(job.SerializeToString(), ModelJob.DESCRIPTOR)
    assert refused.value.violations[0].field == "spec.initContainer[0]"


def test_unknown_fields_are_bounded_together() -> None:
    with pytest.raises(InvalidError):
        check_bounds(b"\xf8\x3f\x01" * 200_000, Serving.DESCRIPTOR)
