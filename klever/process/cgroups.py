"""The cgroups that limit processes: memory, CPU time and the number of tasks.

Klever creates and removes its own groups, and changes no others. In version 1 it creates groups below the platform's,
so that the limits above also apply. Version 2 allows no subgroups in a group with processes: there root creates them at
the top, and another user in the nearest group above the platform's that is delegated to it. Source: cgroups(7), the
kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from klever.process.shim.names import TASKS_PER_PROCESS

__all__ = ["Cgroups", "Group", "find", "group_name", "members", "memory_limit", "remove"]

_ROOT: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")
_CONTROLLERS: Final[tuple[str, ...]] = ("memory", "cpu", "pids")
_PERIOD_US: Final = 100_000
_LEAST_QUOTA_US: Final = 1000
_PROBE_S: Final = 10.0
_JOIN: Final = 'echo 0 > "$1/cgroup.procs"'
_REMOVE_S: Final = 2.0
_REMOVE_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Group:
    """A group of one controller: its directory, and the values of its files.

    The first file is the limit; the kernel may lack the others.
    """

    path: Path
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that the shim reads."""
        return {"path": str(self.path), "files": dict(self.files)}


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The place for groups. `parents` has a directory for each controller that works on this machine."""

    version: int
    parents: Mapping[str, Path]

    @property
    def description(self) -> str:
        return f"cgroup version {self.version}: {', '.join(self.parents)}"

    def groups(
        self, name: str, *, memory_bytes: int | None = None, cpu: float | None = None, processes: int | None = None
    ) -> dict[str, Group]:
        """Return the groups, by controller, that set these limits. `cpu` is in cores. None and 0 set no limit."""
        settings: dict[str, dict[str, str]] = {}
        if memory_bytes:
            settings["memory"] = self._memory(memory_bytes)
        if cpu:
            settings["cpu"] = self._cpu(max(_LEAST_QUOTA_US, round(cpu * _PERIOD_US)))
        if processes:
            settings["pids"] = {"pids.max": str(processes * TASKS_PER_PROCESS)}
        return {
            controller: Group(self.parents[controller] / name, files)
            for controller, files in settings.items()
            if controller in self.parents
        }

    def _memory(self, limit: int) -> dict[str, str]:
        if self.version == 1:
            return {"memory.limit_in_bytes": str(limit), "memory.memsw.limit_in_bytes": str(limit)}
        return {"memory.max": str(limit), "memory.swap.max": "0", "memory.oom.group": "1"}

    def _cpu(self, quota_us: int) -> dict[str, str]:
        if self.version == 1:
            return {"cpu.cfs_quota_us": str(quota_us), "cpu.cfs_period_us": str(_PERIOD_US)}
        return {"cpu.max": f"{quota_us} {_PERIOD_US}"}


def group_name(directory: Path) -> str:
    """Return the name of the groups of a process, by its directory: unique on the machine, and always the same."""
    return f"klever-{hashlib.sha256(os.fsencode(directory.parent)).hexdigest()[:8]}-{directory.name}"


def find(root: Path = _ROOT, own: Path = _OWN) -> Cgroups | None:
    """Return the place where this process may create groups; None if there is none.

    `root` is where the hierarchies are mounted, `own` lists the groups of this process. The function tries each place
    with a process that joins a group.
    """
    paths = _own_groups(own)
    if (root / "cgroup.controllers").exists():
        return next(_version_2(root, paths.get("", "/")), None)
    parents = {name: _below(root / name, paths[name]) for name in _CONTROLLERS if name in paths}
    working = {name: parent for name, parent in parents.items() if _works(parent)}
    return Cgroups(1, working) if working else None


def memory_limit(root: Path = _ROOT, own: Path = _OWN) -> int | None:
    """Return the least memory limit of this process's group and of those above it, in bytes; None without a limit."""
    paths = _own_groups(own)
    mount, path, file = root, paths.get("", "/"), "memory.max"
    if not (root / "cgroup.controllers").exists():
        mount, path, file = root / "memory", paths.get("memory", "/"), "memory.limit_in_bytes"
    group = _below(mount, path)
    limits = [_read(above / file).strip() for above in (group, *group.parents) if above.is_relative_to(mount)]
    return min((int(limit) for limit in limits if limit.isdecimal()), default=None)


def _version_2(root: Path, path: str) -> Iterator[Cgroups]:
    own = _below(root, path)
    above = [group for group in (own, *own.parents) if group.is_relative_to(root)]
    for group in (root,) if os.geteuid() == 0 else above:
        enabled = _read(group / "cgroup.subtree_control").split()
        parents = {name: group for name in _CONTROLLERS if name in enabled}
        if parents and _works(group):
            yield Cgroups(2, parents)


def _own_groups(file: Path) -> dict[str, str]:
    """Return this process's groups by controller. The group of version 2 has the name ''."""
    groups: dict[str, str] = {}
    for line in _read(file).splitlines():
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def _below(mount: Path, path: str) -> Path:
    """Return the directory of a group. In a container the mount itself may be that group."""
    group = mount / path.lstrip("/")
    return group if group.is_dir() else mount


def _works(parent: Path) -> bool:
    group = parent / f"klever-probe-{os.getpid()}"
    try:
        group.mkdir()
        subprocess.run(("/bin/sh", "-c", _JOIN, "sh", group), check=True, timeout=_PROBE_S, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        remove([group])
    return True


def members(groups: Iterable[Path]) -> set[int]:
    """Return the processes in groups, without invisible ones, which the kernel lists as 0."""
    return {int(number) for group in groups for number in _read(group / "cgroup.procs").split()} - {0}


def remove(groups: Iterable[Path]) -> None:
    """Remove groups whose processes have ended or are ending. A group that the kernel still uses stays. Blocks.

    It polls, because the kernel does not announce when a group of version 1 can be removed.
    """
    until = time.monotonic() + _REMOVE_S
    for group in groups:
        while group.is_dir():
            with suppress(OSError):
                group.rmdir()
                break
            if time.monotonic() > until:
                break
            time.sleep(_REMOVE_POLL_S)


def _read(file: Path) -> str:
    """Return the content of a file; "" if the kernel lacks it, so that its controller is not used."""
    try:
        return file.read_text()
    except OSError:
        return ""
