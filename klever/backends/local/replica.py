"""The life of one replica: prepare, start, probe, restart.

    Pending -> Starting -> Ready
       ^           |         |
       '-------- BackOff <---'     ended or hung; each wait is longer
    Failed                         cannot work without a change

A replica's life is one task, so its steps are sequential. Each change replaces its `Instance`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from klever.backends import Instance, InstancePhase, PredictorWorkload
from klever.backends.local.launcher import Launcher
from klever.backends.local.probe import Health, Prober
from klever.backends.local.record import Addresses, Record, Slot
from klever.errors import ExhaustedError, InvalidError, KleverError
from klever.formats import Trust
from klever.process import ProcessState
from klever.runtimes import Guard

__all__ = ["Replica", "Timing"]

log = logging.getLogger(__name__)

_PORT_TAKEN: Final = "already in use"
_PORT_TRIES: Final = 5
_LOOK_S: Final = 2.0
_EAGER_S: Final = 10.0
_MAX_PROBE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds, and how many probes in a row must fail.

    A probe is an inference. Probes take at most a twentieth of the replica's time. A probe may take ten times as long
    as the slowest one so far, whose weight decreases by a tenth with each probe.
    """

    first_probe_s: float = 0.05
    probe_s: float = 5.0
    retry_probe_s: float = 0.5
    probe_timeout_s: float = 5.0
    failures: int = 3
    start_s: float = 600.0
    quiet_s: float = 3.0
    """After this time, a starting replica reports why it is not ready yet."""
    backoff_s: float = 0.5
    max_backoff_s: float = 60.0
    full_backoff_s: float = 5.0
    """The longest wait on a full disk, because space may become free at any time."""
    steady_s: float = 60.0
    """After this time in Ready, earlier failures no longer count."""
    grace_s: float = 10.0
    hung_grace_s: float = 2.0


class _EndedError(Exception):
    """The replica's process has ended or was abandoned. `reason` is one word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Replica:
    """Keeps one replica running until `stop` or `leave`.

    `record` describes an existing process. Each change of `instance` calls `changed`.
    """

    def __init__(
        self,
        slot: Slot,
        *,
        launcher: Launcher,
        prober: Prober,
        timing: Timing,
        changed: Callable[[], None],
        record: Record | None = None,
    ) -> None:
        self.slot = slot
        trust = record.trust if record else Trust.CODE
        self.instance = Instance(slot.name, "", slot.workload, InstancePhase.PENDING, trust=trust, index=slot.index)
        self._launcher = launcher
        self._prober = prober
        self._timing = timing
        self._changed = changed
        self._record = record
        self._workload: asyncio.Future[PredictorWorkload] = asyncio.get_running_loop().create_future()
        self._process_changed = asyncio.Event()
        self._backoff_s = 0.0
        self._failure: tuple[str, str] | None = None
        """Why the last attempt failed, as reason and message, until the next one has started the process."""
        self._slowest_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"replica {self.slot.process}")

    def assign(self, workload: PredictorWorkload) -> None:
        """Set the workload. A running replica uses it only at its next start."""
        if not self._workload.done():
            self._workload.set_result(workload)
            if self.instance.phase in (InstancePhase.STARTING, InstancePhase.READY):  # it was adopted
                self._launcher.note(self.slot, workload)
        self.instance = replace(self.instance, predictor=workload.predictor, trust=workload.trust)

    def wake(self) -> None:
        """Notice that the process may have changed."""
        self._process_changed.set()

    async def look(self) -> None:
        """Probe an adopted process once, so that a healthy replica is Ready from the beginning."""
        if self._record is None:
            return
        try:
            health = await self._ask(self._record, _LOOK_S)
        except _EndedError:
            return  # its first step handles that
        phase = InstancePhase.READY if health.healthy else InstancePhase.STARTING
        self._show(phase, message=health.message, record=self._record)

    async def stop(self) -> None:
        """End the process gracefully, and remove its files."""
        await self.leave()
        await self._launcher.remove(self.slot, grace_s=self._timing.grace_s)

    async def leave(self) -> None:
        """Stop supervising the process, which keeps running."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    # The steps of its life

    async def _run(self) -> None:
        while True:
            try:
                await self._live()
            except _EndedError as ended:
                await self._back_off(InstancePhase.BACK_OFF, ended.reason, ended.message)
                self.instance = replace(self.instance, restarts=self.instance.restarts + 1)
            except InvalidError as error:
                self._show(InstancePhase.FAILED, error.reason, error.message)
                return
            except KleverError as error:
                full = isinstance(error, ExhaustedError)
                await self._back_off(InstancePhase.PENDING, error.reason, error.message, full=full)
            except Exception as error:  # a bug must not leave a replica without supervision
                log.exception("replica %s", self.slot.process)
                await self._back_off(InstancePhase.PENDING, "INTERNAL", f"{type(error).__name__}: {error}")

    async def _live(self) -> NoReturn:
        """Prepare, start and probe the replica until its process has ended. Raises how it ended."""
        record, self._record = self._record, None
        content = record.content if record else (await self._assigned()).content
        with self._launcher.cache.hold(content):
            try:
                if record is None:
                    record = await self._begin(await self._assigned())
                elif self.instance.phase is not InstancePhase.READY:
                    await self._become_ready(record)
                await self._stay_ready(record)
            except _EndedError:
                await self._launcher.processes.stop(self.slot.process, grace_s=self._timing.hung_grace_s)
                await self._launcher.empty_work(self.slot)
                raise

    def _prepare(self, line: str = "") -> None:
        """Show a step of the preparation, or while it is repeated why the last attempt failed."""
        reason, message = self._failure or ("", line)
        self._show(InstancePhase.PENDING, reason, message)

    async def _assigned(self) -> PredictorWorkload:
        return await asyncio.shield(self._workload)

    async def _begin(self, workload: PredictorWorkload) -> Record:
        """Start the process, and wait until it is Ready. Use other ports if another process took one."""
        self._prepare()
        parts = await self._launcher.prepare(self.slot, workload, self._prepare)
        tries = 0
        while True:
            tries += 1
            record = await self._launcher.start(self.slot, workload, parts)
            try:
                self._failure = None
                self._show(InstancePhase.STARTING, record=record)
                await self._become_ready(record)
            except _EndedError as ended:
                if tries == _PORT_TRIES or _PORT_TAKEN not in ended.message:
                    raise
            else:
                return record

    async def _become_ready(self, record: Record) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        deadline = began + self._timing.start_s
        while True:
            # The first inference may take seconds where later ones take milliseconds: it has the whole time.
            health = await self._ask(record, deadline - clock())
            if health.healthy:
                self._show(InstancePhase.READY, message=health.message, record=record)
                return
            if clock() >= deadline:
                raise _EndedError("NotReady", f"not ready within {self._timing.start_s:g} s: {health.message}")
            if clock() - began >= self._timing.quiet_s:
                self._show(InstancePhase.STARTING, message=f"not ready yet: {health.message}", record=record)
            await self._pause(self._timing.first_probe_s if clock() - began < _EAGER_S else self._timing.retry_probe_s)

    async def _stay_ready(self, record: Record) -> NoReturn:
        clock = asyncio.get_running_loop().time
        since, failures, pause_s = clock(), 0, self._timing.probe_s
        while True:
            await self._pause(pause_s)
            timeout_s = min(max(self._timing.probe_timeout_s, 10 * self._slowest_s), _MAX_PROBE_S)
            health = await self._ask(record, timeout_s)
            if health.healthy:
                failures, pause_s = 0, max(self._timing.probe_s, 20 * health.seconds)
                self._show(InstancePhase.READY, message=health.message, record=record)
            else:
                failures, pause_s = failures + 1, self._timing.retry_probe_s
            if failures >= self._timing.failures:
                raise _EndedError("Unhealthy", f"{failures} health checks in a row failed: {health.message}")
            if clock() - since >= self._timing.steady_s:
                self._backoff_s = 0.0

    async def _ask(self, record: Record, timeout_s: float) -> Health:
        """Probe a running process. Raises `_EndedError` as soon as it has ended: another process may answer then."""
        probe = asyncio.create_task(self._prober.ask(record.addresses.http, record.probe, timeout_s=timeout_s))
        probe.add_done_callback(lambda _: self.wake())
        try:
            self._state()
            while not probe.done():
                await self._process_changed.wait()
                self._process_changed.clear()
                self._state()
        finally:
            probe.cancel()
        health = probe.result()
        if health.healthy:
            self._slowest_s = max(
                self._slowest_s * 0.9, health.seconds
            )  # the first one may be far slower than the others
        return health

    async def _back_off(self, phase: InstancePhase, reason: str, message: str, *, full: bool = False) -> None:
        ceiling = self._timing.full_backoff_s if full else self._timing.max_backoff_s
        delay_s = min(max(2 * self._backoff_s, self._timing.backoff_s), ceiling)
        self._backoff_s = delay_s
        self._failure = (reason, message)
        self._show(phase, reason, f"{message}\n(next attempt in {delay_s:g} s)")
        await asyncio.sleep(delay_s)

    async def _pause(self, seconds: float) -> None:
        """Wait until the timeout or a change of the process."""
        try:
            async with asyncio.timeout(seconds):
                await self._process_changed.wait()
        except TimeoutError:
            return
        self._process_changed.clear()

    def _state(self) -> ProcessState:
        """Return the process while it runs. Raises `_EndedError`."""
        state = self._launcher.processes.get(self.slot.process)
        if state is None:
            raise _EndedError("Lost", "the process and its record are gone")
        if state.phase == "Exited":
            raise _EndedError(state.reason, state.message or "the process ended by itself, with exit code 0")
        return state

    def _gaps(self, state: ProcessState) -> tuple[str, ...]:
        confinement = self._launcher.processes.confinement
        return confinement.gaps if state.level is confinement.level else ()

    def _show(self, phase: InstancePhase, reason: str = "", message: str = "", *, record: Record | None = None) -> None:
        addresses = record.addresses if record else Addresses("")
        state = self._state() if record else None
        instance = replace(
            self.instance,
            phase=phase,
            reason=reason,
            message=message,
            http=addresses.http,
            grpc=addresses.grpc,
            metrics=addresses.metrics,
            guard=record.guard if record else Guard.NONE,
            sandbox=(state.level or "") if state else "",
            sandbox_gaps=self._gaps(state) if state else (),
            started_at=state.started_at if state else None,
        )
        if instance != self.instance:
            self.instance = instance
            self._changed()
