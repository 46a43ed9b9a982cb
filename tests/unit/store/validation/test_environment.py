"""The CRDs refuse the environment variables that klever.api.environment names."""

from __future__ import annotations

from typing import Any

import pytest

from klever.api.kinds import MODEL_JOB, SERVING, Object
from klever.errors import InvalidError
from klever.store.validation import SchemaAdmission
from tests.unit.api.test_environment import HARMLESS, HOSTILE, PLATFORM

TAKEN = {"metadata": {"name": "it", "namespace": "default"}}


def job(*names: str) -> Object:
    env = [{"name": name, "value": "x"} for name in names]
    return TAKEN | {"spec": {"model": "team/m:v1", "extraction": {"format": "ONNX"}, "env": env}}


def serving(*names: str, **predictor: Any) -> Object:
    env = [{"name": name, "value": "x"} for name in names]
    return TAKEN | {"spec": {"predictors": [{"name": "main", "model": "team/m:v1", "env": env, **predictor}]}}


@pytest.mark.parametrize("name", HOSTILE)
def test_both_kinds_name_the_variable(name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        SchemaAdmission().admit(MODEL_JOB, job("A", name), None, "")
    assert [violation.field for violation in refused.value.violations] == ["spec.env"]
    with pytest.raises(InvalidError) as refused:
        SchemaAdmission().admit(SERVING, serving("A", name), None, "")
    assert [violation.field for violation in refused.value.violations] == ["spec.predictors[0].env"]
    SchemaAdmission().admit(SERVING, serving(name, command=["python", "server.py"]), None, "")


@pytest.mark.parametrize("name", PLATFORM)
def test_nobody_sets_the_platforms(name: str) -> None:
    for kind, obj in ((MODEL_JOB, job(name)), (SERVING, serving(name)), (SERVING, serving(name, command=["x"]))):
        with pytest.raises(InvalidError):
            SchemaAdmission().admit(kind, obj, None, "")


def test_others_pass() -> None:
    SchemaAdmission().admit(MODEL_JOB, job(*HARMLESS), None, "")
    SchemaAdmission().admit(SERVING, serving(*HARMLESS), None, "")
