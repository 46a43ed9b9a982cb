"""Header matches: a predictor with matches gets the requests that match any of them, whatever the shares are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["HeaderMatch", "Match", "MatchType", "header_matches", "is_matched"]


class MatchType(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """One condition on a request header. A regular expression must match the whole value.

    A negated condition must not hold; for it, a missing header has an empty value. `value` is empty for PRESENT.
    """

    name: str
    value: str = ""
    type: MatchType = MatchType.EXACT
    negate: bool = False


Match = tuple[HeaderMatch, ...]
"""Conditions that must all hold."""


def is_matched(predictor: Mapping[str, Any]) -> bool:
    """Return whether a predictor gets its requests through matches and has no share."""
    return bool(predictor.get("matches"))


def header_matches(predictor: Mapping[str, Any]) -> tuple[Match, ...]:
    """Return the alternative matches of a predictor; empty for a predictor with a share."""
    return tuple(tuple(map(_condition, match["headers"])) for match in predictor.get("matches", ()))


def _condition(header: Mapping[str, Any]) -> HeaderMatch:
    kind = next(kind for kind in MatchType if kind in header)
    value = "" if kind is MatchType.PRESENT else header[kind]
    return HeaderMatch(header["name"], value, kind, bool(header.get("negate")))
