"""Models of tables on real Triton: each answers what its framework answered when hack/models/tabular.py recorded it.

tests/e2e/test_formats.py has a model of each format; here are their variants.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from tests.unit.backends.local.machine import Machine, open_session
from tests.unit.backends.local.serving import check, deploy

pytestmark = pytest.mark.triton
CASES = Path(__file__).parents[3] / "data" / "serving"


@pytest.mark.parametrize("case", ["old-sklearn", "mlflow-xgboost", "mlflow-lightgbm", "mlflow-function"])
async def test_a_model_answers_as_its_framework_does(machine: Machine, case: str) -> None:
    await check(machine, CASES / case)


async def test_a_model_compressed_with_lz4_is_served(machine: Machine, tmp_path: Path) -> None:
    case = tmp_path / "case"
    shutil.copytree(CASES / "sklearn", case)
    (model,) = (case / "model").glob("*.joblib")
    model.write_bytes(lz4.frame.compress(model.read_bytes()))
    await check(machine, case)


def picked(tensor: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """Some rows of a tensor."""
    width = len(tensor["data"]) // tensor["shape"][0]
    data = [value for row in rows for value in tensor["data"][row * width : (row + 1) * width]]
    return {**tensor, "shape": [len(rows), *tensor["shape"][1:]], "data": data}


async def test_requests_at_the_same_time_get_their_own_rows_outputs_and_errors(machine: Machine) -> None:
    recorded = json.loads((CASES / "sklearn" / "case.json").read_text())
    instance = await deploy(machine, CASES / "sklearn")
    wrong = {"name": "x", "datatype": "FP64", "shape": [1, 4], "data": [1e308] * 4}
    labels, shares = recorded["outputs"]

    async def one(number: int) -> None:
        rows = [number % 5, (number + 1) % 5][: 1 + number % 2]
        asked = (labels, shares) if number % 3 else (labels,)
        body = {"inputs": [picked(recorded["inputs"][0], rows)], "outputs": [{"name": out["name"]} for out in asked]}
        async with open_session(instance.http) as (session, url):
            if number % 7 == 0:
                response = await session.post(f"{url}/v2/models/adder/infer", json={"inputs": [wrong]})
                assert response.status == 400
                return
            response = await session.post(f"{url}/v2/models/adder/infer", json=body)
            answer = json.loads(await response.text())
        assert {out["name"]: out["shape"] for out in answer["outputs"]} == {
            out["name"]: picked(out, rows)["shape"] for out in asked
        }
        for found, wanted in zip(answer["outputs"], (picked(out, rows) for out in asked), strict=True):
            exact = found["datatype"] == "BYTES"
            assert found["data"] == (wanted["data"] if exact else pytest.approx(wanted["data"], rel=1e-6))

    await asyncio.gather(*map(one, range(40)))
