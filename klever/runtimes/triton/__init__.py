"""NVIDIA Triton Inference Server."""

from __future__ import annotations

from klever.runtimes.triton.installed import InstalledTriton, find
from klever.runtimes.triton.runtime import TritonRuntime

__all__ = ["InstalledTriton", "TritonRuntime", "find"]
