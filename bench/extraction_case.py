"""A row of `bench/extraction.py`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """A model: the program that writes it into the directory argv[1], and the one that loads the file argv[1].

    `needs` is the module that both need; it is empty if nothing loads the model, and anything writes it. `file` is
    empty if the directory is loaded.
    """

    name: str
    format: str
    file: str
    make: str
    load: str = ""
    needs: str = ""
