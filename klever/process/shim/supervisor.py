"""One child, from its start to the record of its end."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time

from .child import Child
from .files import forget, read_message
from .groups import Groups
from .limits import Limits
from .names import GRACE
from .output import Log, Output
from .proc import children, find_payload, signal_descendant
from .record import Record

TYPE_CHECKING = False  # as in typing, whose import costs too much memory here
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Supervisor"]

_SWEEP_S = 10.0
_SWEEP_POLL_S = 0.005
_FIRST_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 30.0
_STEADY_S = 60.0
"""A child that ran this long resets the backoff of its restart."""
_PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """Starts the child, handles its output, signals and limits, and records its end."""

    def __init__(self, directory: str, spec: dict[str, Any], run: dict[str, Any]) -> None:
        self.directory, self.spec, self.run = directory, spec, run
        self.libc = ctypes.CDLL(None)
        self.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.log = Log(directory, spec["log_bytes"])
        self.output = Output(self.log)
        self.groups = Groups(run["groups"], spec["memory_bytes"], self.log)
        self.limits = Limits(spec, run, self.groups)
        self.child = Child(spec, run, self.groups, self.libc)
        fixed = {"spec": spec, "user": run["user"], "level": run["level"], "groups": self.groups.paths}
        self.record = Record(directory, self.log, **fixed)
        self.deadline = time.monotonic() + spec["timeout_s"] if spec["timeout_s"] else 0.0
        self.kill_at = 0.0
        self.stopping = False
        self.backoff_s = 0.0
        self.restarts = 0
        self.pid = 0
        self.status: int | None = None
        self.verdict = ("", "")  # reason and message, if a limit ended the child
        self.wakeup, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def start(self) -> None:
        """Record the process and start it the first time. Raises `OSError` if the record cannot be written."""
        self.record.write()
        self._spawn()
        try:
            self.record.write()
        except OSError:
            self._sweep()  # a process without a record must not run
            self.groups.remove()
            raise

    def supervise(self) -> None:
        """Return when the child has ended for good and the record says so."""
        while self.pid:
            began = time.monotonic()
            while self.status is None:
                self._wait()
            self._ended()
            if not self.spec["restart"] or self.stopping or self.verdict[0] == "DeadlineExceeded":
                break
            self.record.update(phase="Starting")
            self.record.write_or_log()
            if not self._back_off(steady=time.monotonic() - began >= _STEADY_S):
                break
            self.restarts += 1
            self.record.update(restarts=self.restarts)
            self._spawn()
            self.record.write_or_log()
        self.groups.remove()
        self.record.update(phase="Exited")
        self.record.write_or_log()

    def _back_off(self, *, steady: bool) -> bool:
        """Wait before the next start. Return False if told to stop."""
        doubled = max(_FIRST_BACKOFF_S, min(self.backoff_s * 2, _MAX_BACKOFF_S))
        self.backoff_s = _FIRST_BACKOFF_S if steady else doubled
        until = time.monotonic() + self.backoff_s
        while not self.stopping and (left := until - time.monotonic()) > 0:
            if select.select([self.wakeup], [], [], left)[0]:
                self._signals()
        return not self.stopping

    def _spawn(self) -> None:
        """Start the child. Record StartError if the program cannot be started."""
        self.status, self.verdict = None, ("", "")
        self.groups.make()
        forget(self.run["termination"])
        self.pid, failure = self.child.start(self.output.open())
        self.record.update(phase="Running", pid=self.pid, started_at=time.time())
        self.record.update(exited_at=None, exit_code=None, reason="", message="")
        if failure:
            self.output.close()
            self.pid = 0
            self.record.update(phase="Exited", pid=None, exited_at=time.time(), exit_code=127)
            self.record.update(reason="StartError", message=failure)

    # While it runs

    def _wait(self) -> None:
        """Handle the next output, signal or limit."""
        now = time.monotonic()
        times = [moment for moment in (self.deadline, self.kill_at, self.limits.look_at) if moment]
        self._select(max(0.0, min(times) - now) if times else None)
        if self.status is None:
            self._limit(time.monotonic())

    def _select(self, timeout: float | None) -> None:
        watched = [self.wakeup, self.output.handle] if self.output.handle >= 0 else [self.wakeup]
        ready = select.select(watched, [], [], timeout)[0]
        if self.output.handle in ready:
            self.output.pump()
        if self.wakeup in ready:
            self._signals()

    def _signals(self) -> None:
        numbers = os.read(self.wakeup, 512)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop()
        self._reap()

    def _stop(self) -> None:
        kill_at = time.monotonic() + self._grace()
        self.kill_at = min(self.kill_at, kill_at) if self.kill_at else kill_at
        self.stopping = True
        self._terminate()

    def _grace(self) -> float:
        try:
            with open(f"{self.directory}/{GRACE}", encoding="ascii") as file:
                return float(file.read())
        except (OSError, ValueError):
            return float(self.spec["grace_s"])  # no other grace time was written

    def _terminate(self) -> None:
        """Send SIGTERM to the payload only: it ends its own processes and may need them until then."""
        payload = find_payload(self.pid, self.run["depth"])
        if payload == self.pid:
            self._kill(signal.SIGTERM)
        else:
            signal_descendant(os.getpid(), payload, signal.SIGTERM)

    def _limit(self, now: float) -> None:
        """Kill the child if it exceeds a limit."""
        if self.kill_at and now >= self.kill_at:
            self._kill(signal.SIGKILL)
        elif self.deadline and now >= self.deadline:
            self.verdict = ("DeadlineExceeded", f"ran longer than {self.spec['timeout_s']:g} s")
            self._kill(signal.SIGKILL)
        elif exceeded := self.limits.exceeded(now):
            self.verdict = exceeded
            self._kill(signal.SIGKILL)

    def _kill(self, number: int) -> None:
        if self.pid and self.status is None:
            os.kill(self.pid, number)  # the child is not reaped yet, so it still has this number

    def _reap(self) -> bool:
        """Reap ended processes. Return False if no process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)

    # The end

    def _ended(self) -> None:
        """End the descendants, log the rest of the output, and record the result."""
        if not self.verdict[0]:
            self.verdict = self.groups.verdict() or self.verdict
        self._sweep()
        self.output.drain()
        self.kill_at = 0.0
        status = self.status or 0
        code = 128 - status if status < 0 else status
        reason, message = self.verdict
        if not reason:
            reason = "Completed" if not code else "Killed" if self.stopping else "Error"
            message = read_message(self.run["termination"]) or self._last_words(status)
        self.record.update(pid=None, exited_at=time.time(), exit_code=code, reason=reason, message=message)

    def _last_words(self, status: int) -> str:
        """Return how the child failed, and the end of its log."""
        if not status or self.stopping:
            return ""
        how = f"killed by {_signal_name(-status)}" if status < 0 else f"exit code {status}"
        lines = self.log.tail.decode(errors="replace").strip()
        return f"{how}\n{lines}" if lines else how

    def _sweep(self) -> None:
        """Kill and reap all descendants of the shim.

        Each round kills only direct children: the shim inherits their children, and a process keeps its number until it
        is reaped.
        """
        self.groups.forbid_forks()
        until = time.monotonic() + _SWEEP_S
        while self._reap() and time.monotonic() < until:
            for pid in children(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            self._select(_SWEEP_POLL_S)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
