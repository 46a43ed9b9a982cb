"""Models of TensorFlow, Keras and PyTorch on real Triton answer what their frameworks did (hack/models)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from klever.environments import EnvironmentManager
from tests.torch_environment import ENVIRONMENTS_OF_TESTS, needs_torch
from tests.unit.backends.local.machine import Machine
from tests.unit.backends.local.serving import CASES, deploy, infer

pytestmark = pytest.mark.triton


async def check(machine: Machine, case: str, **options: Any) -> None:
    recorded = json.loads((CASES / case / "case.json").read_text())
    status, answer = await infer(await deploy(machine, case, **options), recorded["inputs"])
    assert status == 200, answer
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs.keys() == {output["name"] for output in recorded["outputs"]}
    for wanted in recorded["outputs"]:
        output = outputs[wanted["name"]]
        assert (output["datatype"], output["shape"]) == (wanted["datatype"], wanted["shape"])
        exact = wanted["datatype"] not in ("FP32", "FP64")
        assert output["data"] == (wanted["data"] if exact else pytest.approx(wanted["data"], rel=1e-6))


@pytest.mark.parametrize(
    "case", ["savedmodel", "savedmodel-count", "savedmodel-keras2", "graphdef", "h5", "h5-keras3", "keras"]
)
async def test_a_model_of_tensorflow_answers_as_its_framework_does(machine: Machine, case: str) -> None:
    await check(machine, case)


@needs_torch
@pytest.mark.parametrize("case", ["torchscript", "torchscript-dict"])
async def test_a_model_of_pytorch_answers_as_its_framework_does(machine: Machine, case: str) -> None:
    await check(machine, case, environments=EnvironmentManager(ENVIRONMENTS_OF_TESTS))
