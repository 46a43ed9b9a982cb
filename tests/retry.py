"""A second run of end-to-end tests that failed: `pytest --retry-e2e`, which `make test` uses.

Such tests start many processes, so a busy machine can fail one of them. Each failed test marked `e2e` runs once more,
alone. If all of them pass, the run passes and its output ends with a list of the flaky tests. A test that fails twice
fails the run. So does everything else that goes wrong: another test, a collection error, a worker that crashes.
"""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

LONGEST_S = 1800
"""The second runs stop after this time, so that the run ends within the limits of a continuous integration job."""


class Retry:
    """A plugin of the process that reports, never of an xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed: dict[str, None] = {}
        self._flaky: list[str] = []
        self._final = False
        """Whether the run fails whatever a second run shows."""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._final |= report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and "e2e" in report.keywords:
            self._failed[report.nodeid] = None
        elif report.failed:  # also the report of a crashed worker, which has no keywords
            self._final = True

    @pytest.hookimpl(trylast=True)  # xdist has ended its workers
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus != pytest.ExitCode.TESTS_FAILED or self._final:
            return
        deadline = time.monotonic() + LONGEST_S
        for test in self._failed:
            if time.monotonic() > deadline or not self._passes(test):
                return
            self._flaky.append(test)
        session.exitstatus = pytest.ExitCode.OK

    def _passes(self, test: str) -> bool:
        command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", test]
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(f"\nsecond run of {test}", flush=True)
            return subprocess.run(command, cwd=self._config.rootpath, check=False).returncode == 0

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Write the list below everything that pytest writes."""
        if self._flaky:
            writer = config.get_terminal_writer()
            writer.sep("=", "flaky: failed, then passed alone", yellow=True)
            writer.line("\n".join(self._flaky))
