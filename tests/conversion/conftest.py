"""The environments of converters. They are made once, in the user's cache, and shared by all tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from klever.cmd.data import default_cache
from klever.environments import EnvironmentManager
from tests.torch_environment import ENVIRONMENTS_OF_TESTS


def environment_python(environment: str) -> Path:
    """Make an environment if it is not there, and return its interpreter; PyTorch is that of `hack/torch_cpu`."""
    manager = EnvironmentManager(ENVIRONMENTS_OF_TESTS if environment == "torch" else default_cache() / "environments")
    return asyncio.run(manager.ensure(environment)) / "bin" / "python"


@pytest.fixture(scope="session")
def onnx_python() -> Path:
    return environment_python("onnx")
