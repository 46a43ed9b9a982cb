"""The error of the programs."""

from __future__ import annotations

__all__ = ["ConversionError"]


class ConversionError(Exception):
    """The model cannot be converted. The message says what is wrong, where, and what to do. It ends the job."""
