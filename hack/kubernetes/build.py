"""Builds what runs from source, once: etcd and Kubernetes as one binary, and the first process of pods."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from hack.kubernetes.cache import entry, fill
from hack.kubernetes.requirements import MissingError, require

__all__ = ["binary", "pause", "prepare"]

SOURCES = Path(__file__).parent / "kube"
_PAUSE = Path(__file__).parent / "pause"
_NAMES = ("main.go", "go.mod", "go.sum")
_PACKAGE = "k8s.io/component-base/version"


def binary() -> Path:
    """Where the binary of etcd and Kubernetes is, or will be."""
    return entry("kube", ((SOURCES / name).read_bytes() for name in _NAMES))


def prepare() -> Path:
    """Build the binary unless it is there: minutes, once. Raises `MissingError` where Go is needed and missing."""
    return fill(binary(), lambda path: _build(path, SOURCES, _flags()))


def pause() -> Path:
    """Build the first process of pods unless it is there: seconds, once."""
    sources = ((_PAUSE / name).read_bytes() for name in _NAMES[:2])
    return fill(entry("pause", sources), lambda path: _build(path, _PAUSE, "-s -w"))


def _build(path: Path, sources: Path, flags: str) -> None:
    require(go="install Go 1.25 or later")
    subprocess.run(
        ["go", "build", "-trimpath", "-buildvcs=false", "-o", str(path), "-ldflags", flags, "."],
        cwd=sources,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )


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
