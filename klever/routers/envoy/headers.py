"""Request headers that Envoy removes or sets before it chooses a route. A match on one would never hold, or always."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from klever.errors import FieldViolation
from klever.traffic.matches import HeaderMatch

__all__ = ["check_headers"]

_HOP_BY_HOP: Final = frozenset(
    ("connection", "expect", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade")
)
"""RFC 9110, section 7.6.1, and Expect, which Envoy answers itself."""
_RESERVED: Final = "x-envoy-"


def check_headers(headers: tuple[HeaderMatch, ...]) -> Iterator[FieldViolation]:
    """Yield a violation for each match on a header that does not reach the routes, by field path below a predictor."""
    for index, header in enumerate(headers):
        if header.name in _HOP_BY_HOP or header.name.startswith(_RESERVED):
            description = f"the gateway does not route by {header.name!r}: use a header of your own, such as x-variant"
            yield FieldViolation(f"match.headers[{index}].name", description)
