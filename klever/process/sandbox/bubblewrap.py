"""Level `full`: bubblewrap gives the payload separate namespaces, in which only the sandbox's paths exist."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

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
from klever.process.sandbox.paths import NETWORK_FILES, parents, system_links, with_targets
from klever.process.sandbox.privileges import as_user
from klever.process.sandbox.seccomp import program

__all__ = ["Bubblewrap"]

_NAMESPACES: Final = ("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
_SHIM_TO_PAYLOAD: Final = 2
"""The shim's child is bubblewrap, its child the first process of the namespace, and that one's child the payload."""


class Bubblewrap:
    """Runs `binary`, with Landlock of version `abi` (0: none) if a process may bind ports.

    If the platform is root, it makes no user namespace, and the payload runs as a separate user: in a user namespace
    the mapped root could open /proc/sys/kernel/core_pattern for writing.
    """

    level: Final = Level.FULL

    def __init__(self, binary: Path, abi: int, *, root: bool) -> None:
        self._binary = binary
        self._abi = abi
        self._root = root

    @property
    def description(self) -> str:
        return f"bubblewrap ({self._binary})"

    @property
    def gaps(self) -> tuple[str, ...]:
        return () if self._abi >= NET_ABI else (PORT_GAP,)

    def uses_another_user(self, sandbox: Sandbox) -> bool:  # noqa: ARG002 - the protocol's signature
        return self._root

    def command(self, payload: Payload, sandbox: Sandbox, user: int | None) -> Command:
        options = [*self._isolation(sandbox), *_files(sandbox), *_process(payload, root=self._root)]
        become = (str(self._binary), "--args", str(SETTINGS_FD), *(as_user(user) if user else ()), *payload.argv)
        return Command(
            argv=(*self._ports(sandbox), *become),
            env={},
            inputs={
                SECCOMP_FD: program(sandbox.network, attributes=True, ipv6=self._abi >= NET_ABI),
                SETTINGS_FD: b"".join(os.fsencode(option) + b"\0" for option in options),
            },
            depth=_SHIM_TO_PAYLOAD,
        )

    def _ports(self, sandbox: Sandbox) -> tuple[str, ...]:
        """Return the program that limits the ports, which namespaces cannot do, and then becomes bubblewrap."""
        if sandbox.network is not Network.LISTEN or self._abi < NET_ABI or not sandbox.ports:
            return ()
        return (sys.executable, "-I", "-S", restrict.__file__, ",".join(map(str, sandbox.ports)))

    def _isolation(self, sandbox: Sandbox) -> Iterator[str]:
        yield from (*_NAMESPACES, "--die-with-parent", "--new-session", "--cap-drop", "ALL")
        if sandbox.network in (Network.NONE, Network.LOCAL):
            yield "--unshare-net"
        if self._root:
            for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # only to change the user
                yield from ("--cap-add", capability)
        else:
            yield from ("--unshare-user", "--disable-userns")


def _files(sandbox: Sandbox) -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for link, target in system_links():
        yield from ("--symlink", target, link)
    yield from ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind-try", "/etc/alternatives")
    yield "/etc/alternatives"
    if sandbox.network is Network.FULL:
        for path in NETWORK_FILES:
            yield from ("--ro-bind-try", path, path)
    yield from ("--dev", "/dev")
    for directory in ("/dev/shm", "/tmp"):  # noqa: S108 - of the namespace, not of the machine
        yield from ("--size", str(sandbox.memory_bytes), "--perms", "1777", "--tmpfs", directory)
    for directory in ("/sys", "/sys/devices"):  # bubblewrap would hide them from every user but its own
        yield from ("--perms", "0755", "--dir", directory)
    yield from ("--ro-bind-try", "/sys/devices/system", "/sys/devices/system")
    read, write = with_targets(sandbox.read), with_targets(sandbox.write)
    for parent in parents((*read, *write)):
        yield from ("--perms", "0755", "--dir", str(parent))
    for shown in read:
        yield from ("--ro-bind", str(shown), str(shown))
    for own in write:
        yield from ("--bind", str(own), str(own))


def _process(payload: Payload, *, root: bool) -> Iterator[str]:
    yield from ("--proc", "/proc")
    if root:
        yield from ("--ro-bind", "/proc/sys", "/proc/sys")
    yield from ("--remount-ro", "/", "--chdir", str(payload.cwd), "--seccomp", str(SECCOMP_FD), "--clearenv")
    for name, value in payload.env.items():
        yield from ("--setenv", name, value)
