"""Runs of small suites with `--retry-e2e`: which pass, which fail, and what they report as flaky."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

XDIST = ("-p", "xdist", "-n2", "--dist=loadfile", "--max-worker-restart=1")
CONFTEST = """
from tests.retry import Retry

def pytest_addoption(parser):
    parser.addoption("--retry-e2e", action="store_true")

def pytest_configure(config):
    if config.getoption("--retry-e2e") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Retry(config))
"""
FLAKY = """
import pytest
from pathlib import Path

@pytest.mark.e2e
def test_busy():
    if not Path("ran").exists():
        Path("ran").touch()
        raise RuntimeError
"""
BROKEN = """
import pytest

@pytest.mark.e2e
def test_broken():
    raise RuntimeError
"""
UNIT = """
def test_unit():
    raise RuntimeError
"""
CRASH = """
import os, pytest

@pytest.mark.e2e
def test_crash():
    os._exit(1)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # to start fast
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nmarkers = e2e")
    return pytester


def flaky(result: pytest.RunResult) -> list[str]:
    """Return the tests that the output ends with, below their heading."""
    headings = [number for number, line in enumerate(result.outlines) if "flaky: " in line]
    return result.outlines[headings[0] + 1 :] if headings else []


@pytest.mark.parametrize("options", [(), XDIST], ids=["one process", "xdist"])
def test_a_test_that_passes_the_second_time_passes_the_run(suite: pytest.Pytester, options: tuple[str, ...]) -> None:
    suite.makepyfile(test_flaky=FLAKY)
    result = suite.runpytest_subprocess("--retry-e2e", *options)
    assert result.ret == pytest.ExitCode.OK
    assert flaky(result) == ["test_flaky.py::test_busy"]


def test_a_test_that_fails_twice_fails_the_run(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_a=FLAKY, test_b=BROKEN)
    result = suite.runpytest_subprocess("--retry-e2e")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert flaky(result) == ["test_a.py::test_busy"]


@pytest.mark.parametrize("other", [UNIT, "import absent", CRASH], ids=["unit test", "collection", "crash"])
def test_any_other_failure_fails_the_run(suite: pytest.Pytester, other: str) -> None:
    suite.makepyfile(test_flaky=FLAKY, test_other=other)
    result = suite.runpytest_subprocess("--retry-e2e", *XDIST)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert flaky(result) == []


def test_an_interrupted_run_fails(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_flaky=FLAKY, test_interrupt="def test_interrupt(): raise KeyboardInterrupt")
    assert suite.runpytest_subprocess("--retry-e2e").ret == pytest.ExitCode.INTERRUPTED
