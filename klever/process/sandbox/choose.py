"""Picks the strongest confinement that works on this machine."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from klever.process.sandbox import Confinement, Level, Payload, Sandbox, Unconfined
from klever.process.sandbox.bubblewrap import Bubblewrap
from klever.process.sandbox.landlock import Landlock
from klever.process.sandbox.privileges import SETPRIV
from klever.process.sandbox.restrict import abi_version
from klever.process.shim.files import open_input

__all__ = ["available", "choose"]

_PROBE_S: Final = 10.0
_PROBE_USER: Final = 61183


def choose(bubblewraps: tuple[Path, ...], at_most: Level = Level.FULL) -> Confinement:
    """Return the strongest working confinement up to `at_most`. `bubblewraps` are the binaries to try.

    Each candidate runs a program that does nothing, because a kernel can have a feature and forbid its use.
    """
    return next(available(bubblewraps, at_most))


def available(bubblewraps: tuple[Path, ...], at_most: Level = Level.FULL) -> Iterator[Confinement]:
    """Yield the confinements that work here, the strongest first."""
    root = os.geteuid() == 0
    candidates: list[Confinement] = []
    if at_most is Level.FULL:
        candidates += [Bubblewrap(binary, abi_version(), root=root) for binary in bubblewraps if binary.is_file()]
    if at_most is not Level.NONE and (abi := abi_version()):
        candidates.append(Landlock(abi, root=root))
    yield from (candidate for candidate in candidates if _works(candidate, root=root))
    yield Unconfined()


def _works(confinement: Confinement, *, root: bool) -> bool:
    if root and not Path(SETPRIV).is_file():
        return False
    sandbox = Sandbox(read=(), write=())
    user = _PROBE_USER if confinement.uses_another_user(sandbox) else None
    command = confinement.command(Payload(("/usr/bin/true",), {}, Path("/")), sandbox, user)
    handles = {number: open_input(content) for number, content in command.inputs.items()}
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, handle, number) for number, handle in handles.items()]
    actions += [(os.POSIX_SPAWN_OPEN, output, os.devnull, os.O_WRONLY, 0) for output in (1, 2)]
    try:
        process = os.posix_spawn(command.argv[0], command.argv, {}, file_actions=actions)
    except OSError:
        return False
    finally:
        for handle in handles.values():
            os.close(handle)
    return _ends_well(process)


def _ends_well(process: int) -> bool:
    handle = os.pidfd_open(process)
    try:
        if not select.select([handle], [], [], _PROBE_S)[0]:
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(status) == 0
