"""The main function of a shim: it detaches, locks the directory, and supervises the child."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import sys

from .files import redirect
from .names import LOG
from .supervisor import Supervisor

TYPE_CHECKING = False  # as in typing, whose import costs too much memory here
if TYPE_CHECKING:
    from typing import Any

__all__ = ["main"]

_MADV_DONTNEED = 4


def main(directory: str) -> None:
    """Read the specification, detach from the caller, and run the process.

    Write `started`, `busy` (another shim has the directory) or `error ERRNO` to standard output, and close it.
    """
    settings = json.load(sys.stdin.buffer)
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    redirect(os.devnull, 0)
    try:
        lock = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        supervisor = Supervisor(directory, settings["spec"], settings["run"])
        supervisor.start()
    except BlockingIOError:
        os.write(1, b"busy")
        return
    except OSError as error:
        os.write(1, b"error %d" % (error.errno or errno.EIO))
        return
    _release_code(supervisor.libc)
    os.write(1, b"started")
    redirect(os.devnull, 1)
    redirect(f"{directory}/{LOG}", 2)  # for errors of the shim itself
    supervisor.supervise()
    os._exit(0)


def _release_code(libc: Any) -> None:
    """Unmap program text that only the start needed. The kernel maps it again from the page cache when it is used."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file.read().splitlines():
            fields = line.split()
            if fields[1] == "r-xp" and fields[-1].startswith("/"):
                start, end = (int(address, 16) for address in fields[0].split("-"))
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
