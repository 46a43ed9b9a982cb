"""Models of tables on real Triton: each answers what its framework answered when hack/models/tabular.py recorded it.

tests/e2e/test_formats.py has a model of each format; here are their variants.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.backends.local.machine import Machine
from tests.unit.backends.local.serving import check

pytestmark = pytest.mark.triton
CASES = Path(__file__).parents[3] / "data" / "serving"


@pytest.mark.parametrize("case", ["old-sklearn", "mlflow-xgboost", "mlflow-lightgbm", "mlflow-function"])
async def test_a_model_answers_as_its_framework_does(machine: Machine, case: str) -> None:
    await check(machine, CASES / case)
