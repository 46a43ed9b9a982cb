"""Builds etcd and Kubernetes as one binary, once, outside the checkout; keyed by the sources and their lock file."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

__all__ = ["MissingError", "binary", "prepare", "require"]

SOURCES = Path(__file__).parent / "kube"
_NAMES = ("main.go", "go.mod", "go.sum")
_PACKAGE = "k8s.io/component-base/version"


class MissingError(Exception):
    """Something that must be installed first; the message says what."""


def binary() -> Path:
    """Where the binary is, or will be."""
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in _NAMES)).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "klever" / "kubernetes" / digest[:16] / "kube"


def prepare() -> Path:
    """Build the binary unless it is there: minutes, once. Raises `MissingError` where Go is needed and missing."""
    path = binary()
    if path.is_file():
        return path
    require(go="install Go 1.25 or later")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"kube.{os.getpid()}")
    try:
        subprocess.run(
            ["go", "build", "-trimpath", "-buildvcs=false", "-o", str(temporary), "-ldflags", _flags(), "."],
            cwd=SOURCES,
            env={**os.environ, "CGO_ENABLED": "0"},
            check=True,
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def require(**programs: str) -> None:
    """Raise `MissingError` with the advice given for the first program that is not on PATH."""
    for program, advice in programs.items():
        if shutil.which(program) is None:
            raise MissingError(f"{program} is not on PATH: {advice}")


def _flags() -> str:
    """Stamp the version, which Kubernetes' own build scripts do otherwise."""
    found = re.search(r"k8s\.io/kubernetes v(1\.(\d+)\.\d+)", (SOURCES / "go.mod").read_text())
    if found is None:
        raise MissingError(f"{SOURCES / 'go.mod'} requires no k8s.io/kubernetes")
    stamps = {
        "gitVersion": f"v{found[1]}",
        "gitMajor": "1",
        "gitMinor": found[2],
        "gitTreeState": "clean",
        "gitCommit": "unknown",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return " ".join(["-s -w", *(f"-X {_PACKAGE}.{name}={value}" for name, value in stamps.items())])
