"""Which parts of an object an update replaces, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from klever.api.kinds import SERVING as SERVING_KIND
from klever.errors import InvalidError
from klever.server.updates import keep_unknown, select
from klever.v1alpha1.serving_pb2 import Serving

SERVING: Any = Serving.DESCRIPTOR
OBJECT = {"metadata": {"name": "a", "labels": {"team": "vision"}}, "spec": {"predictors": [{"name": "main"}]}}


def test_an_update_without_a_mask_names_spec_labels_and_annotations() -> None:
    metadata = {"labels": {"team": "vision"}, "annotations": None}
    assert select(OBJECT, SERVING_KIND.updates, SERVING) == {"spec": OBJECT["spec"], "metadata": metadata}


def test_a_field_of_the_spec_is_named_as_in_the_proto() -> None:
    patch = select({"spec": {"predictors": [1], "other": 2}}, ("spec.predictors",), SERVING)
    assert patch == {"spec": {"predictors": [1]}}


def test_a_path_within_another_one_adds_nothing() -> None:
    assert select({}, ("spec", "spec.predictors"), SERVING) == {"spec": None}


@pytest.mark.parametrize("path", ["kind", "spec.predictors.name", "status.phase"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidError) as caught:
        select(OBJECT, (path,), SERVING)
    assert [violation.field for violation in caught.value.violations] == ["update_mask"]


def test_fields_of_a_newer_version_stay_in_the_items_of_lists() -> None:
    env = {"name": "A", "value": "1", "novel": 3}
    stored = {
        "spec": {
            "predictors": [
                {"name": "main", "model": "a", "replicas": 2, "novel": {"kept": True}, "env": [env]},
                {"name": "gone", "novel": 1},
            ]
        }
    }
    main = {"name": "main", "model": "b", "env": [{"name": "A", "value": "2"}]}
    changed = {"spec": {"predictors": [main, {"name": "new", "model": "c"}]}}
    keep_unknown(changed, stored, SERVING)
    assert changed["spec"]["predictors"] == [
        {"name": "main", "model": "b", "novel": {"kept": True}, "env": [{"name": "A", "value": "2", "novel": 3}]},
        {"name": "new", "model": "c"},
    ]
