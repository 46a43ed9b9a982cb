"""Models of TensorFlow, Keras and PyTorch on real Triton answer what their frameworks did (hack/models/*_cases.py).

tests/e2e/test_formats.py has a model of each format; here are their variants.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.environments import EnvironmentManager
from tests.torch_environment import ENVIRONMENTS_OF_TESTS, needs_torch
from tests.unit.backends.local.machine import Machine
from tests.unit.backends.local.serving import check

pytestmark = pytest.mark.triton
CASES = Path(__file__).parents[3] / "data" / "networks"


@pytest.mark.parametrize("case", ["savedmodel-count", "savedmodel-keras2", "h5-keras3"])
async def test_a_model_of_tensorflow_answers_as_its_framework_does(machine: Machine, case: str) -> None:
    await check(machine, CASES / case)


@needs_torch
@pytest.mark.parametrize("case", ["torchscript-dict"])
async def test_a_model_of_pytorch_answers_as_its_framework_does(machine: Machine, case: str) -> None:
    await check(machine, CASES / case, environments=EnvironmentManager(ENVIRONMENTS_OF_TESTS))
