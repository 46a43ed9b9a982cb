"""`klever controllers` as an operator runs it."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from tests.e2e.platform import BIN, Platform

__all__ = ["LEASE_S", "Controllers"]

LEASE_S = 120.0
"""A candidate waits for the lease of one that was killed, 15 seconds after it has seen the lease for the first time."""


class Controllers:
    """A candidate. It pulls from a platform that runs beside it."""

    def __init__(self, source: Platform, workplace: Platform, kubeconfig: Path, *flags: str, host: str = "") -> None:
        """With `host`, the source is reached at that address of this machine."""
        self.log = workplace.root / f"controllers-{time.monotonic_ns()}.log"
        where = ("--data", str(workplace.data), "--port", str(workplace.port), "--kubeconfig", str(kubeconfig))
        url = f"http://{host}:{source.port}" if host else source.url
        registry = ("--registry", url, "--registry-token-file", str(source.data / "token"))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(BIN / "klever"), "controllers", *where, *registry, *flags],
                stdout=log,
                stderr=log,
                env=workplace.env,
            )

    def terms(self) -> int:
        """How often it was elected."""
        return self.log.read_text().count("it is the leader")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        self.process.wait()
