"""Runs tasks as processes of this machine."""

from __future__ import annotations

from klever.executors.local.executor import LocalExecutor
from klever.executors.local.steps import Provision

__all__ = ["LocalExecutor", "Provision"]
