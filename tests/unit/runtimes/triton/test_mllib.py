"""Models of Spark MLlib, computed without Spark, answer as Spark does (hack/models/mllib.py)."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from klever.environments import EnvironmentManager
from klever.runtimes.triton.programs import PROGRAMS, source

pytestmark = pytest.mark.triton
DATA = Path(__file__).parents[3] / "data" / "mllib"
ANSWERS: dict[str, Any] = json.loads((DATA / "answers.json").read_text())
PROGRAM = """
import json, sys, warnings
from pathlib import Path
import numpy as np
import framework

warnings.simplefilter("error")
found = {"stages": list(framework.STAGES), "answers": {}}
for name, given in json.load(sys.stdin).items():
    inputs = {column: np.array(values, "O" if type(values[0]) is str else "d") for column, values in given.items()}
    methods, _ = framework.load(Path(sys.argv[1], name))
    columns = methods["transform"](inputs)
    found["answers"][name] = {column: values.tolist() for column, values in columns.items()}
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The classes that the program knows, and what it answers to the requests that Spark answered."""
    directory = tmp_path_factory.mktemp("mllib")
    for name, file in PROGRAMS["MLlib"].own.items():
        (directory / name).write_bytes(source(file))
    for name in ANSWERS:
        (directory / "models" / name).mkdir(parents=True)
        (directory / "models" / name / "model").symlink_to(DATA / name)
    (directory / "main.py").write_text(PROGRAM)
    environments = EnvironmentManager(Path.home() / ".cache" / "klever" / "environments")
    python = asyncio.run(environments.ensure("mllib")) / "bin" / "python"
    given = json.dumps({name: answer["inputs"] for name, answer in ANSWERS.items()})
    ended = subprocess.run(
        [python, directory / "main.py", directory / "models"], input=given, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_the_table_has_the_classes_that_the_program_computes(computed: dict[str, Any]) -> None:
    assert PROGRAMS["MLlib"].layers == set(computed["stages"])


@pytest.mark.parametrize("name", ANSWERS)
def test_a_model_answers_as_spark_does(computed: dict[str, Any], name: str) -> None:
    for column, wanted in ANSWERS[name]["outputs"].items():
        found = computed["answers"][name][column]
        assert found == (wanted if isinstance(wanted[0], str) else approx(wanted)), column


def approx(values: Any) -> Any:
    """Compare numbers, or rows of numbers."""
    if isinstance(values[0], list):
        return [approx(row) for row in values]
    return pytest.approx(values, rel=1e-11, abs=1e-12)
