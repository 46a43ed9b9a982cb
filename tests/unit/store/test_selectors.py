"""Selectors of labels and fields."""

from __future__ import annotations

import pytest

from klever.api.kinds import SERVING
from klever.errors import InvalidError
from klever.store.selectors import Selector


@pytest.mark.parametrize("selector", [{"labels": "a=b," * 1024 + "c"}, {"fields": "metadata.name=a," * 300}])
def test_a_long_selector_is_refused_before_it_is_parsed(selector: dict[str, str]) -> None:
    """One anonymous call with a selector of 4 MB took 5 s of the event loop."""
    with pytest.raises(InvalidError, match="characters; the most is 4096"):
        Selector(SERVING, **selector)
