"""Version 2 of cgroups, on a hierarchy of plain files: the kernel of the machine may have version 1."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from klever.process import cgroups
from klever.process.cgroups import Cgroups, find
from klever.process.shim.groups import Groups
from klever.process.shim.output import Log

ALL = "memory cpu pids"
FILES = ("memory.max", "memory.swap.max", "memory.oom.group", "memory.events", "cpu.max", "pids.max", "pids.events")


class Hierarchy:
    """What is mounted at /sys/fs/cgroup. Here a group can be removed with the files in it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "cgroup"
        self.own = root / "own"
        self.add("", "")
        (self.root / "cgroup.controllers").write_text(ALL)

    def add(self, path: str, enabled: str) -> Path:
        """Add a group that enables controllers for the groups below it."""
        group = self.root / path
        group.mkdir(parents=True, exist_ok=True)
        (group / "cgroup.subtree_control").write_text(enabled)
        return group

    def find(self, own: str) -> Cgroups | None:
        self.own.write_text(f"0::/{own}\n")
        return find(self.root, self.own)


def remove(groups: Iterable[Path]) -> None:
    for group in groups:
        if group.is_dir():
            shutil.rmtree(group)


@pytest.fixture
def hierarchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hierarchy:
    monkeypatch.setattr(cgroups, "remove", remove)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return Hierarchy(tmp_path)


def close(group: Path) -> None:
    """Let nobody make a group of ours there."""
    (group / f"klever-probe-{os.getpid()}").touch()


def test_root_makes_groups_at_the_top(hierarchy: Hierarchy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    hierarchy.add("", ALL)
    hierarchy.add("system.slice/klever.service", "")
    found = hierarchy.find("system.slice/klever.service")
    assert found == Cgroups(2, dict.fromkeys(ALL.split(), hierarchy.root))
    assert not list(hierarchy.root.glob("klever-*"))


def test_another_user_makes_them_in_the_nearest_group_that_is_delegated(hierarchy: Hierarchy) -> None:
    hierarchy.add("", ALL)
    user = hierarchy.add("user.slice/user@1000.service", "memory pids")
    hierarchy.add("user.slice/user@1000.service/app.slice", "")
    found = hierarchy.find("user.slice/user@1000.service/app.slice")
    assert found == Cgroups(2, {"memory": user, "pids": user})


def test_a_group_that_is_not_delegated_is_passed_over(hierarchy: Hierarchy) -> None:
    hierarchy.add("", "")
    outer = hierarchy.add("user.slice", ALL)
    close(hierarchy.add("user.slice/session-1.scope", ALL))
    assert hierarchy.find("user.slice/session-1.scope") == Cgroups(2, dict.fromkeys(ALL.split(), outer))


def test_no_cgroups_without_delegation(hierarchy: Hierarchy) -> None:
    close(hierarchy.add("", ALL))
    hierarchy.add("user.slice", "")
    assert hierarchy.find("user.slice") is None


def test_in_a_container_the_mount_may_show_the_own_group(hierarchy: Hierarchy) -> None:
    hierarchy.add("", "memory")
    assert hierarchy.find("docker/0123/which/is/not/mounted") == Cgroups(2, {"memory": hierarchy.root})


@pytest.fixture
def groups(hierarchy: Hierarchy, tmp_path: Path) -> Groups:
    """The groups of a child with all limits, made."""
    places = Cgroups(2, dict.fromkeys(ALL.split(), hierarchy.root))
    wanted = places.groups("klever-p", memory_bytes=64 << 20, cpu=1.5, processes=3)
    group = hierarchy.root / "klever-p"
    group.mkdir()
    for name in (*FILES, "cgroup.procs"):
        (group / name).touch()  # the kernel makes them with the directory
    (group / "memory.events").write_text("low 0\noom 0\noom_kill 2\n")  # of an earlier run
    made = Groups({name: one.to_json() for name, one in wanted.items()}, 64 << 20, Log(str(tmp_path), 1 << 20))
    made.make()
    return made


def test_limits_are_written_and_the_child_enters(groups: Groups, hierarchy: Hierarchy) -> None:
    group = hierarchy.root / "klever-p"
    assert groups.paths == [str(group)]
    written = {name: (group / name).read_text() for name in FILES if not name.endswith(".events")}
    assert written == {
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "150000 100000",
        "pids.max": "24",
    }
    groups.enter()
    assert (group / "cgroup.procs").read_text() == "0"


def test_the_kernels_counters_tell_which_limit_was_reached(groups: Groups, hierarchy: Hierarchy) -> None:
    group = hierarchy.root / "klever-p"
    assert groups.verdict() is None
    (group / "pids.events").write_text("max 1\n")
    assert (groups.verdict() or ("",))[0] == "TooManyProcesses"
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    assert (groups.verdict() or ("",))[0] == "OOMKilled"
