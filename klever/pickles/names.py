"""The globals that a pickle looks up, and those of them that are plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["PLAIN", "Pickle"]

_MAX_NAMES: Final = 1000
"""How many different names of one pickle are kept."""


@dataclass(slots=True)
class Pickle:
    """The result for one file of pickles.

    `globals` are all names. `unsafe` are those that are not plain data, and other operations that may be unsafe.
    `damaged` says where reading stopped, if that was before the end of the pickle.
    """

    globals: set[str] = field(default_factory=set)
    unsafe: set[str] = field(default_factory=set)
    damaged: str = ""
    value: object = None
    """The value of the first pickle, in symbols."""

    def add(self, name: str) -> None:
        if len(self.globals) < _MAX_NAMES:
            self.globals.add(name)
        if name not in PLAIN:
            self.suspect(name)

    def suspect(self, what: str) -> None:
        if len(self.unsafe) < _MAX_NAMES:
            self.unsafe.add(what)


_ARRAYS: Final = ("numpy.core", "numpy._core")
PLAIN: Final = frozenset((
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in (
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "range", "set", "slice",
        "str", "tuple",
    )),
    *(f"{package}.multiarray.{name}" for package in _ARRAYS for name in ("_reconstruct", "scalar")),
    *(f"{package}.numeric._frombuffer" for package in _ARRAYS),
    "_codecs.encode",
    "collections.OrderedDict",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "joblib.numpy_pickle.NumpyArrayWrapper",
    "numpy.dtype",
    "numpy.ndarray",
))  # fmt: skip
"""Globals that are plain data, whatever their arguments are."""
