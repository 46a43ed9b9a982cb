"""The environment `torch` of the tests: PyTorch for CPUs, which `hack/torch_cpu` makes."""

from __future__ import annotations

from typing import Final

import pytest

from klever.cmd.data import default_cache
from klever.environments import EnvironmentManager

__all__ = ["CACHE", "ENVIRONMENTS_OF_TESTS", "needs_torch"]

CACHE: Final = default_cache().parent / "klever-tests"
"""What XDG_CACHE_HOME must be for a `klever` that uses these environments."""
ENVIRONMENTS_OF_TESTS: Final = CACHE / "klever" / "environments"

needs_torch: Final = pytest.mark.skipif(
    not EnvironmentManager(ENVIRONMENTS_OF_TESTS).status("torch").ready,
    reason="needs PyTorch for CPUs: hack/torch_cpu makes it, with gcc and readelf",
)
