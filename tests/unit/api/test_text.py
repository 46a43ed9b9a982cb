"""Sizes for readers."""

from __future__ import annotations

import pytest

from klever.api.text import format_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_a_size_has_the_unit_that_keeps_it_short(size: int, text: str) -> None:
    assert format_size(size) == text
