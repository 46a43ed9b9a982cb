"""Models of MXNet and Caffe become ONNX models that answer as mxnet 1.9.1 and OpenCV do (hack/models/*_answers.py)."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import klever.converters
from tests.conversion.cases import NETWORKS

CASES = Path(__file__).with_name("cases.py")
DATA = Path(__file__).parents[1] / "data" / "conversion"
PROGRAMS = Path(klever.converters.__file__).parent / "programs"
CAFFE = json.loads(gzip.decompress((DATA / "caffe" / "models.json.gz").read_bytes()))
NAMES = (
    *(f"caffe {kind} {name}" for kind, found in CAFFE.items() for name in found),
    *(f"mxnet network {name}" for name in NETWORKS),
)
TOLERANCE = 1e-5

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def differences(onnx_python: Path) -> dict[str, Any]:
    done = subprocess.run(
        [onnx_python, "-I", CASES, PROGRAMS, DATA], capture_output=True, text=True, timeout=500, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_model_answers_as_its_framework_does(differences: dict[str, Any], name: str) -> None:
    assert isinstance(differences[name], float), differences[name]
    assert differences[name] < TOLERANCE


def test_each_operator_of_mxnet_answers_as_mxnet_does(differences: dict[str, Any]) -> None:
    operators = {name: found for name, found in differences.items() if name.startswith("mxnet operator")}
    wrong = {name: found for name, found in operators.items() if not isinstance(found, float) or found >= TOLERANCE}
    assert not wrong
    assert len(operators) > 50
