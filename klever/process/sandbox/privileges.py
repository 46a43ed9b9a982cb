"""Drops privileges with setpriv (util-linux) if the platform runs as root."""

from __future__ import annotations

from typing import Final

__all__ = ["SETPRIV", "as_root_without_capabilities", "as_user"]

SETPRIV: Final = "/usr/bin/setpriv"

_NOTHING: Final = ("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
_DIES_WITH_PARENT: Final = ("--pdeathsig", "KILL", "--")
"""Set again, because a change of the user clears it."""


def as_user(user: int) -> tuple[str, ...]:
    """Return the command that runs the words after it as the user and group `user`, without any capability."""
    return (SETPRIV, f"--reuid={user}", f"--regid={user}", "--clear-groups", *_NOTHING, *_DIES_WITH_PARENT)


def as_root_without_capabilities() -> tuple[str, ...]:
    """Return the command that runs the words after it as user 0, which regains no capabilities on exec."""
    return (SETPRIV, "--securebits=+noroot,+noroot_locked", "--clear-groups", *_NOTHING, *_DIES_WITH_PARENT)
