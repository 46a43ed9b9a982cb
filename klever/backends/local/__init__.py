"""Runs Servings as processes of this machine."""

from __future__ import annotations

from klever.backends.local.backend import LocalBackend
from klever.backends.local.cache import Fetch
from klever.backends.local.commands import Commands
from klever.backends.local.replica import Timing

__all__ = ["Commands", "Fetch", "LocalBackend", "Timing"]
