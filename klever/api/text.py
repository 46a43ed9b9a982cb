"""Formats and parses times and sizes."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["format_size", "format_time", "parse_time"]


def format_time(time: datetime) -> str:
    """Return a UTC time in the form of Kubernetes: RFC 3339 in whole seconds."""
    return time.isoformat(timespec="seconds")[:19] + "Z"


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time. Raises `ValueError`."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is beyond the years 1 to 9999") from error


def format_size(size: int) -> str:
    """Return a number of bytes for people: `512 B`, `1.5 MiB`."""
    if size < 1024:
        return f"{size} B"
    value = size / 1024
    for unit in ("KiB", "MiB", "GiB"):
        if round(value, 1) < 1024:
            return f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
