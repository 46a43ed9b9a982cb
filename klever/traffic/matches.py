"""Header matches: a predictor with a match gets the requests that it matches, whatever the shares are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["HeaderMatch", "MatchType", "header_matches", "is_matched"]


class MatchType(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """One condition on a request header. A regular expression must match the whole value."""

    name: str
    value: str
    type: MatchType = MatchType.EXACT


def is_matched(predictor: Mapping[str, Any]) -> bool:
    """Return whether a predictor gets its requests by a header match and takes no share."""
    return bool(predictor.get("match"))


def header_matches(predictor: Mapping[str, Any]) -> tuple[HeaderMatch, ...]:
    """Return the conditions of a predictor; all of them must hold. Empty for a predictor that takes a share."""
    headers = predictor.get("match", {}).get("headers", [])
    return tuple(HeaderMatch(h["name"], h[t], t) for h in headers for t in MatchType if t in h)
