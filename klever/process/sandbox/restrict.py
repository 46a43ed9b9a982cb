"""Confines itself and becomes another program.

`python -I -S restrict.py` becomes the payload behind Landlock and seccomp. `python -I -S restrict.py PORT,… COMMAND…`
becomes a command that can bind only these TCP ports.

The first form reads its settings (`klever.process.sandbox.landlock`) and the seccomp filter from the descriptors that
the shim passes.
Standard library only: it runs without site-packages.
Source: landlock(7), linux/landlock.h, prctl(2).
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["abi_version", "main"]

_SECCOMP_FD, _SETTINGS_FD = 8, 9

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_BIND_TCP, _CONNECT_TCP = 1, 2
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 1, 22, 38, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << n for n in range(6))
_MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_MAKE = _MAKE_DIR | _MAKE_REG | _MAKE_SOCK | _MAKE_FIFO | _MAKE_SYM

_EXECUTABLE = _EXECUTE | _READ_FILE | _READ_DIR
_READABLE = _READ_FILE | _READ_DIR
_WRITABLE = _READABLE | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _REFER | _MAKE
_TEMPORARY = _READ_DIR | _MAKE_DIR | _REMOVE_DIR

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def abi_version() -> int:
    """Return the version of Landlock that the kernel has, 0 if it has none or has turned it off."""
    version: int = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)
    return max(0, version)


def main() -> None:
    if len(sys.argv) > 2:
        _limit_ports([int(port) for port in sys.argv[1].split(",")])
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - without a shell
    settings: dict[str, Any] = json.loads(_content(_SETTINGS_FD))
    program = _content(_SECCOMP_FD)
    os.chdir(settings["cwd"])
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _landlock(settings)
    argv, env = settings["argv"], settings["env"]
    file = shutil.which(argv[0], path=env.get("PATH", os.defpath)) or argv[0]
    filter_ = _Program(len(program) // 8, program)
    _checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0))
    try:
        os.execve(file, argv, env)  # noqa: S606 - without a shell
    except OSError as error:
        sys.exit(f"cannot start {argv[0]}: {error.strerror}")


def _landlock(settings: dict[str, Any]) -> None:
    abi = settings["abi"]
    handled = (1 << 13) - 1
    handled |= (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEV if abi >= 5 else 0)
    attributes = struct.pack("=Q", handled)
    if abi >= 4:
        attributes += struct.pack("=Q", 0 if settings["tcp"] else _BIND_TCP | _CONNECT_TCP)
    if abi >= 6:
        attributes += struct.pack("=Q", 3)  # abstract Unix sockets and signals of other processes
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    _allow(ruleset, settings["execute"], _EXECUTABLE & handled)
    _allow(ruleset, settings["read"], _READABLE & handled)
    _allow(ruleset, settings["write"], _WRITABLE & handled)
    _allow(ruleset, [settings["temporary"]], _TEMPORARY & handled)
    if abi >= 4:
        _allow_ports(ruleset, settings["ports"])
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _limit_ports(ports: list[int]) -> None:
    """Limit ports only: with rules for files, bubblewrap, which runs next, could not mount."""
    if os.geteuid() != 0:  # root does not need it to restrict itself, and setpriv sets it later
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    attributes = struct.pack("=QQ", 0, _BIND_TCP)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    _allow_ports(ruleset, ports)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow_ports(ruleset: int, ports: list[int]) -> None:
    for port in ports:
        _checked(_libc.syscall(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", _BIND_TCP, port), 0))


def _allow(ruleset: int, paths: list[str], access: int) -> None:
    for path in paths:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # some systems lack some of them
        directory = stat.S_ISDIR(os.fstat(handle).st_mode)
        rule = struct.pack("=Qi", access if directory else access & _OF_FILES, handle)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
        os.close(handle)


def _content(handle: int) -> bytes:
    with open(handle, "rb") as file:
        return file.read()


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        sys.exit(f"cannot set up the sandbox: {os.strerror(number)}")
    return result


if __name__ == "__main__":
    main()
