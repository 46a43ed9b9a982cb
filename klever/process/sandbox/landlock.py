"""Level `landlock`: the payload runs in the machine's namespaces, with Landlock and a seccomp filter."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from klever.process.sandbox import (
    NET_ABI,
    PORT_GAP,
    SECCOMP_FD,
    SETTINGS_FD,
    Command,
    Level,
    Network,
    Payload,
    Sandbox,
    restrict,
)
from klever.process.sandbox.paths import NETWORK_FILES, is_open_to_all, with_targets
from klever.process.sandbox.privileges import as_root_without_capabilities, as_user
from klever.process.sandbox.seccomp import program

__all__ = ["Landlock"]

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives")
_READ: Final = ("/proc", "/sys/devices/system", "/dev/urandom", "/dev/zero", "/etc/ld.so.cache", "/etc/localtime")
_WRITE: Final = ("/dev/shm", "/dev/null")  # noqa: S108 - shared by the machine's processes, as docs/security.md says
_TEMPORARY: Final = "/tmp"  # noqa: S108 - Triton's Python backend makes and removes directories there, and aborts if it cannot


_GAPS: Final = (
    (3, "a process can truncate files that its user may write (before Linux 6.2)"),
    (NET_ABI, PORT_GAP),
    (5, "a process can call any ioctl on /dev/null, /dev/zero and /dev/urandom (before Linux 6.10)"),
    (6, "a process can signal other processes of its user (before Linux 6.12)"),
)
"""What Landlock cannot enforce before a version (landlock(7), "VERSIONS"). Version 2 closes no gap."""


class Landlock:
    """Uses the kernel's Landlock of version `abi`.

    If the platform is root, the payload runs as a separate user that can reach the sandbox's paths, or otherwise as
    root without capabilities.
    """

    level: Final = Level.LANDLOCK

    def __init__(self, abi: int, *, root: bool) -> None:
        self._abi = abi
        self._root = root

    @property
    def description(self) -> str:
        return f"Landlock, version {self._abi}"

    @property
    def gaps(self) -> tuple[str, ...]:
        return tuple(gap for abi, gap in _GAPS if self._abi < abi)

    def uses_another_user(self, sandbox: Sandbox) -> bool:
        paths = (Path(sys.executable), *sandbox.read, *sandbox.write)
        return self._root and all(map(is_open_to_all, with_targets(paths)))

    def command(self, payload: Payload, sandbox: Sandbox, user: int | None) -> Command:
        privileges = (as_user(user) if user else as_root_without_capabilities()) if self._root else ()
        settings = json.dumps(self._settings(payload, sandbox))
        return Command(
            argv=(*privileges, sys.executable, "-I", "-S", restrict.__file__),
            env={},
            inputs={
                SECCOMP_FD: program(
                    sandbox.network,
                    attributes=sandbox.network in (Network.LOCAL, Network.FULL),
                    ipv6=self._abi >= NET_ABI,
                ),
                SETTINGS_FD: settings.encode(),
            },
        )

    def _settings(self, payload: Payload, sandbox: Sandbox) -> dict[str, Any]:
        network = NETWORK_FILES if sandbox.network is Network.FULL else ()
        return {
            "abi": self._abi,
            "execute": [*_SYSTEM, *map(str, with_targets(sandbox.read))],
            "read": [*_READ, *network],
            "write": [*_WRITE, *map(str, with_targets(sandbox.write))],
            "temporary": _TEMPORARY,
            "tcp": sandbox.network is Network.FULL,
            "ports": list(sandbox.ports) if sandbox.network is Network.LISTEN else [],
            "argv": list(payload.argv),
            "env": dict(payload.env),
            "cwd": str(payload.cwd),
        }
