"""Paths that sandboxes show."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

__all__ = ["NETWORK_FILES", "is_open_to_all", "parents", "system_links", "with_targets"]

NETWORK_FILES: Final = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
)
"""Files that resolve names, and the certificates that the system trusts."""
_TOP: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_HELD: Final = (Path("/"), Path("/usr"), Path("/dev"), Path("/proc"), Path("/tmp"), Path("/sys"))  # noqa: S108 - of the sandbox
"""Paths of every sandbox."""


def system_links() -> Iterator[tuple[str, str]]:
    """Yield the top-level links to /usr that the system's programs rely on, with their targets."""
    for top in _TOP:
        if os.path.islink(top):  # noqa: PTH114 - the target as it is written
            yield top, os.readlink(top)  # noqa: PTH115 - the same


def with_targets(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the existing paths and their targets, without those inside /usr or inside another of them."""
    found = {path for given in paths if given.exists() for path in (given, given.resolve())}
    kept = [Path("/usr")]
    for path in sorted(found, key=lambda path: len(path.parts)):
        if not any(map(path.is_relative_to, kept)):
            kept.append(path)
    return tuple(kept[1:])


def parents(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the directories above the paths, from the top, that a sandbox must create."""
    above = {parent for path in paths for parent in path.parents}
    return tuple(sorted(above - set(_HELD), key=lambda path: (len(path.parts), path)))


def is_open_to_all(path: Path) -> bool:
    """Return whether every user may pass the directories above `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in path.absolute().parents)
