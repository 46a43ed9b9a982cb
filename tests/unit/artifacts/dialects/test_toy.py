"""A dialect of several layers needs one module and one row."""

from __future__ import annotations

import pytest

from klever.artifacts.dialect import Dialect
from tests.contract.dialect import DialectContract
from tests.plugin.klever_toy.dialect import TOY


class TestToy(DialectContract):
    @pytest.fixture
    def dialect(self) -> Dialect:
        return TOY
