"""Options and fixtures that every test may use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Contract suites are imported as `tests.contract…`. At the end of the path: `klever` is the installed wheel's.
sys.path.append(str(Path(__file__).parents[1]))

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="rewrite the golden files from what the code yields")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("triton/onnx.pbtxt", text)` fails unless the golden file holds exactly `text`."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--renew-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"no golden file {name}: run with --renew-golden and review it"
        assert text == path.read_text(), f"{name} differs: run with --renew-golden and review the diff"

    return check
