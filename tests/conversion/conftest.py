"""The environments of converters. They are made once, in the user's cache, and shared by all tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from klever.cmd.data import default_cache
from klever.environments import EnvironmentManager


def python_of(environment: str) -> Path:
    """Make an environment if it is not there, and return its interpreter."""
    manager = EnvironmentManager(default_cache() / "environments")
    return asyncio.run(manager.ensure(environment)) / "bin" / "python"


@pytest.fixture(scope="session")
def onnx_python() -> Path:
    return python_of("onnx")
