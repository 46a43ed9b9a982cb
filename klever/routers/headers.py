"""Request headers that Envoy removes or sets before it chooses a route, so that matching them is useless."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from klever.errors import FieldViolation
from klever.traffic.matches import Match

__all__ = ["check_headers"]

_HOP_BY_HOP: Final = frozenset(
    ("connection", "expect", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade")
)
"""RFC 9110, section 7.6.1, and Expect, which Envoy answers itself."""
_RESERVED: Final = "x-envoy-"


def check_headers(matches: tuple[Match, ...]) -> Iterator[FieldViolation]:
    """Yield a violation for each match on a header that does not reach the routes, with field paths in a predictor."""
    for number, match in enumerate(matches):
        for index, header in enumerate(match):
            if header.name in _HOP_BY_HOP or header.name.startswith(_RESERVED):
                description = f"the gateway does not route by {header.name!r}: use your own header, such as x-variant"
                yield FieldViolation(f"matches[{number}].headers[{index}].name", description)
