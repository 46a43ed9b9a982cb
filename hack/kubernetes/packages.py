"""The programs of a node, from this machine's own package archive: unpacked beside the binary, not installed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hack.kubernetes.cache import entry, fill
from hack.kubernetes.processes import inherited
from hack.kubernetes.requirements import MissingError, require

__all__ = ["TAKEN", "environment", "packages", "program"]

_NAMES = ("busybox-static", "containerd", "containernetworking-plugins", "nftables", "runc")
"""No versions: every release of Debian and Ubuntu has its own, with the libraries that they need."""
TAKEN = "taken.txt"
"""Lists what was taken: name, version, architecture, one package a line."""
_FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin", "usr/lib/cni")


def packages() -> Path:
    """Download and unpack them unless they are there: some 40 MB, once for each release of the system."""
    system = f"{platform.freedesktop_os_release().get('VERSION_CODENAME', '')} {platform.machine()}"
    return fill(entry("packages", [" ".join(_NAMES).encode(), system.encode()]), _take)


def program(name: str) -> Path:
    """The path of one of their programs."""
    root = packages()
    for folder in _FOLDERS:
        if (root / folder / name).exists():
            return root / folder / name
    raise MissingError(f"no {name} in {root}: remove that folder, and prepare again")


def environment() -> dict[str, str]:
    """What their programs need to find each other and their libraries."""
    root = packages()
    libraries = [str(path) for pattern in ("usr/lib/*-linux-gnu", "lib/*-linux-gnu") for path in root.glob(pattern)]
    folders = [str(root / folder) for folder in _FOLDERS if (root / folder).is_dir()]
    return {
        **inherited(),
        "PATH": ":".join([*folders, os.environ.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": ":".join(libraries),
    }


def _take(folder: Path) -> None:
    require(
        **{"apt-get": "pods take containerd and runc from the packages of Debian or Ubuntu", "dpkg-deb": "install dpkg"}
    )
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True)
    if _download(archives):  # as where the lists are old, or were never fetched
        _run("apt-get", "-qq", "update")
    said = _download(archives)
    missing = re.search(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate", said)
    if missing:
        raise MissingError(f"apt-get has no package {missing[1] or missing[2]}: add an archive that has it")
    if said:
        raise MissingError(f"apt-get cannot download the packages for pods: {said.strip().splitlines()[-1]}")
    (folder / TAKEN).write_text("".join(sorted(_unpack(archives, folder))))


def _download(archives: Path) -> str:
    """Download the packages and what they need that is not installed; returns the errors, which are none at best."""
    options = ("-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root")
    flags = ("-qq", "--download-only", "--reinstall", "--yes", "--no-install-recommends")
    done = _run("apt-get", "install", *flags, *options, *_NAMES)
    return done.stderr if done.returncode else ""


def _unpack(archives: Path, folder: Path) -> Iterator[str]:
    for archive in archives.glob("*.deb"):
        fields = _run("dpkg-deb", "--showformat=${Package} ${Version} ${Architecture}\\n", "--show", str(archive))
        yield fields.stdout
        unpacked = _run("dpkg-deb", "--extract", str(archive), str(folder))
        if unpacked.returncode:
            raise RuntimeError(f"{archive.name}: {unpacked.stderr.strip()}")
        archive.unlink()


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=False, timeout=600
    )
