"""Starts the child: the code between fork and exec."""

from __future__ import annotations

import ctypes
import os
import signal

from .files import open_input, write
from .groups import Groups
from .names import MAX_MESSAGE, TASKS_PER_PROCESS

TYPE_CHECKING = False  # as in typing, whose import costs too much memory here
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Child"]

_OOM_SCORE = 500
"""Lets the kernel end the payload before the platform when the machine runs out of memory."""
_PR_SET_PDEATHSIG = 1
_RLIMIT_FSIZE, _RLIMIT_CORE, _RLIMIT_NPROC = 1, 4, 6
_KEPT_SIGNALS = (signal.SIGKILL, signal.SIGSTOP, 32, 33)
"""Signals whose action cannot be set; 32 and 33 belong to the C library."""


class Child:
    """The program of `run`, which can be started several times."""

    def __init__(self, spec: Mapping[str, Any], run: Mapping[str, Any], groups: Groups, libc: Any) -> None:
        self._spec = spec
        self._run = run
        self._groups = groups
        self._libc = libc
        self._shim = os.getpid()
        self._inputs = {int(number): open_input(bytes.fromhex(content)) for number, content in run["inputs"].items()}

    def start(self, writer: int) -> tuple[int, str]:
        """Fork and exec, with `writer` for output. Return the process id, and why the program did not start."""
        failure, failed = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if not pid:
            self._exec(writer, failed)
        os.close(writer)
        os.close(failed)
        message = os.read(failure, MAX_MESSAGE).decode(errors="replace")  # returns at a successful exec
        os.close(failure)
        if message:
            os.waitpid(pid, 0)
        return pid, message

    def _exec(self, writer: int, failed: int) -> None:
        """In the child: exec the program, or report why that failed."""
        argv = self._run["argv"]
        try:
            self._prepare()
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            os.chdir(self._spec["cwd"] or "/")
            os.execvpe(argv[0], argv, self._run["env"])  # noqa: S606 - no shell is wanted
        except OSError as error:
            os.write(failed, f"cannot start {argv[0]}: {error}".encode(errors="replace"))
        finally:
            os._exit(127)

    def _prepare(self) -> None:
        """In the child: take the inputs, die with the shim, and accept the limits."""
        for number, handle in self._inputs.items():
            os.lseek(handle, 0, os.SEEK_SET)
            os.dup2(handle, number)
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._shim:
            os._exit(127)  # the shim died before the call of prctl
        os.setsid()  # a child that signals its process group must not signal the shim
        for number in range(1, signal.NSIG):
            if number not in _KEPT_SIGNALS:
                signal.signal(number, signal.SIG_DFL)  # exec preserves signals that the shim or its parent ignores
        self._groups.enter()
        if self._spec["cpu"] and "cpu" not in self._groups:
            _pin(self._spec["cpu"])
        if self._run["level"]:
            self._lower()

    def _lower(self) -> None:
        """In the child: disable core dumps, create files for this user only, and be killed before the platform."""
        self._bound(_RLIMIT_CORE, 0)
        if self._run["write_bytes"]:
            self._bound(_RLIMIT_FSIZE, self._run["write_bytes"])  # fallocate(2) can fill a disk between two checks
        if self._run["user"]:  # the user has no other tasks
            self._bound(_RLIMIT_NPROC, self._run["processes"] * TASKS_PER_PROCESS)
        os.umask(0o077)
        write("/proc/self/oom_score_adj", str(_OOM_SCORE))

    def _bound(self, number: int, value: int) -> None:
        """Set both values of a resource limit with setrlimit(2); the module `resource` costs memory."""
        self._libc.setrlimit(number, (ctypes.c_ulong * 2)(value, value))


def _pin(cpu: float) -> None:
    """In the child: use only as many cores as `cpu` needs, and not the same ones as every other process."""
    cores = sorted(os.sched_getaffinity(0))
    first = os.getpid() % len(cores)
    os.sched_setaffinity(0, (cores[first:] + cores[:first])[: -int(-cpu // 1)])
