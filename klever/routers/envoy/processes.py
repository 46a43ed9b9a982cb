"""The two processes of the gateway, Envoy and the access server. A running one is adopted, otherwise started."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from klever.errors import FailedPreconditionError, UnavailableError
from klever.process import ProcessManager, ProcessSpec, ProcessState
from klever.routers.envoy.admin import ANSWER_SECONDS, Admin
from klever.routers.envoy.gateway import Gateway

__all__ = ["ACCESS_ID", "PROCESS_ID", "AccessProcess", "EnvoyProcess"]

PROCESS_ID: Final = "gateway"
ACCESS_ID: Final = "access"
_START_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.02
_FLAGS: Final = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warn", "--drain-time-s", "5")
_ADVICE: Final = {
    "Address already in use": "the port is in use, choose another with --port",
    "Cannot assign requested address": "this machine has no such address, choose another with --host",
}


class EnvoyProcess:
    """Envoy with one configuration file. Its shim restarts it when it ends."""

    def __init__(self, gateway: Gateway, processes: ProcessManager, binary: Path, config: Path, admin: Admin) -> None:
        self._gateway = gateway
        self._processes = processes
        self._binary = binary
        self._config = config
        self._admin = admin

    async def runs(self) -> bool:
        """Return whether Envoy runs and answers.

        Raises `FailedPreconditionError` if it is not installed.
        """
        if not self._binary.is_file():
            raise FailedPreconditionError(f"Envoy is missing: {self._binary} (reinstall klever)", reason="NO_ENVOY")
        return _runs(self._processes.get(PROCESS_ID)) and await self._admin.ready()

    async def start(self) -> None:
        """Start Envoy, and return when it serves. Raises `FailedPreconditionError` with Envoy's message if it fails."""
        self._processes.check(PROCESS_ID)
        self._gateway.admin.unlink(missing_ok=True)
        argv = (str(self._binary), "-c", str(self._config), *_FLAGS)
        await self._processes.start(_spec(PROCESS_ID, argv))
        deadline = time.monotonic() + _START_SECONDS
        while not await self._admin.ready():
            state = self._processes.get(PROCESS_ID)
            failed = state is None or state.phase == "Exited" or state.restarts > 0
            if failed or time.monotonic() > deadline:
                words = (state.message if state else "") or " ".join(await self.log(5))
                await self.remove()
                raise _not_started(self._gateway, words)
            await asyncio.sleep(_POLL_SECONDS)

    async def restart(self) -> None:
        """Replace an Envoy that hangs."""
        await self._processes.stop(PROCESS_ID, grace_s=0)
        await self.remove()
        await self.start()

    async def remove(self) -> None:
        """End Envoy, if it runs, and remove its record."""
        await self._processes.remove(PROCESS_ID)

    async def log(self, lines: int) -> list[str]:
        """Return the last lines of Envoy's log."""
        return [line async for line in self._processes.logs(PROCESS_ID, tail=lines)]


class AccessProcess:
    """The access server, which Envoy asks beyond loopback. Its shim restarts it when it ends."""

    def __init__(self, gateway: Gateway, processes: ProcessManager, command: Sequence[str]) -> None:
        self._gateway = gateway
        self._processes = processes
        self._command = tuple(command)

    async def ensure(self) -> None:
        """Return when the access server answers. On loopback, end a running one.

        Raises `UnavailableError` with its message if it does not start.
        """
        state = self._processes.get(ACCESS_ID)
        wanted = self._gateway.beyond_loopback
        fits = wanted and _runs(state) and state is not None and state.spec.argv == self._command
        if state is not None and not (fits and await self.answers()):
            await self.remove()
        if wanted:
            await self._processes.start(_spec(ACCESS_ID, self._command))
            await self._wait()

    async def restart(self) -> None:
        """Replace an access server that hangs."""
        await self._processes.stop(ACCESS_ID, grace_s=0)
        await self.ensure()

    async def remove(self) -> None:
        """End the access server, if it runs, and remove its record."""
        await self._processes.remove(ACCESS_ID)

    async def answers(self) -> bool:
        """Return whether the access server answers a request."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._gateway.access)
                with closing(writer):
                    writer.write(b"GET / HTTP/1.1\r\n\r\n")
                    return bool(await reader.readline())
        except (OSError, TimeoutError):
            return False

    async def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not await self.answers():
            if not _runs(self._processes.get(ACCESS_ID)) or time.monotonic() > deadline:
                words = " ".join([line async for line in self._processes.logs(ACCESS_ID, tail=5)])
                raise UnavailableError(f"cannot start the access server of the gateway: {words}")
            await asyncio.sleep(_POLL_SECONDS)


def _runs(state: ProcessState | None) -> bool:
    return state is not None and state.phase != "Exited"


def _spec(process_id: str, argv: tuple[str, ...]) -> ProcessSpec:
    return ProcessSpec(
        id=process_id,
        argv=argv,
        env={"PATH": os.defpath},
        cwd=None,
        labels={"klever": process_id},
        restart=True,
        grace_s=10.0,
    )


def _not_started(gateway: Gateway, words: str) -> FailedPreconditionError:
    advice = next((advice for reason, advice in _ADVICE.items() if reason in words), f"its log ends with: {words}")
    return FailedPreconditionError(
        f"cannot start the gateway (Envoy) on {gateway.host}:{gateway.port}; {advice}",
        reason="GATEWAY_FAILED",
    )
