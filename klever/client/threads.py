"""Blocking calls without a blocked event loop."""

from __future__ import annotations

from asyncio import to_thread as in_thread

__all__ = ["in_thread"]
