"""The one error of the programs."""

from __future__ import annotations

__all__ = ["ConversionError"]


class ConversionError(Exception):
    """The model cannot be converted; the message says what of it, where, and what to do. It ends the job."""
