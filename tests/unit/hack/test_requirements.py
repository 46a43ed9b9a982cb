"""What the cluster says in one line where this machine lacks something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hack.kubernetes.build import binary, prepare
from hack.kubernetes.packages import packages
from hack.kubernetes.requirements import MissingError, require_machine, require_visible

ROOT = Path(__file__).parents[3]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All of PATH: an empty folder."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fake(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_go_is_asked_for_only_where_there_is_something_to_build(programs: Path, cache: Path) -> None:
    with pytest.raises(MissingError, match="go is not on PATH: install Go"):
        prepare()
    binary().touch()
    assert prepare() == binary()


def test_pods_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingError, match="not root: pods take namespaces"):
        require_machine()


def test_pods_need_ip(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(MissingError, match="ip is not on PATH: install iproute2"):
        require_machine()


@pytest.mark.root
def test_pods_need_the_right_to_make_namespaces(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("ip", "nsenter", "mount"):
        fake(programs, name, "exit 0")
    fake(programs, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    with pytest.raises(MissingError, match="no namespaces: unshare: unshare failed: Operation not permitted"):
        require_machine()


def test_a_directory_that_pods_cannot_see_is_refused(tmp_path: Path) -> None:
    require_visible(tmp_path, ("/run", "/var/lib"))
    with pytest.raises(MissingError, match="/var/lib/x lies in /var/lib"):
        require_visible(Path("/var/lib/x"), ("/run", "/var/lib"))


def test_pods_need_packages(programs: Path, cache: Path) -> None:
    with pytest.raises(MissingError, match="apt-get is not on PATH: pods take containerd"):
        packages()


def test_a_package_that_no_archive_has_is_named_when_the_lists_were_renewed(programs: Path, cache: Path) -> None:
    calls = programs / "calls"
    fake(programs, "dpkg-deb", "exit 1")
    fake(
        programs,
        "apt-get",
        f'echo "$@" >>{calls}; case "$*" in *update*) exit 0;; esac\n'
        "echo 'E: Unable to locate package containerd' >&2; exit 100",
    )
    with pytest.raises(MissingError, match="apt-get has no package containerd"):
        packages()
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["install", "-qq", "install"]
    assert not list(cache.rglob("packages"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "half"), "up takes one tier, control or full, and add-ons: dns, metrics, istio"),
        (("prepare", "control", "full"), "prepare takes one tier"),
        (("prepare", "full", "linkerd"), "prepare takes one tier"),
        (("down", "full"), "down takes no argument: full"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "hack" / "cluster"), *arguments, "--dir", str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
