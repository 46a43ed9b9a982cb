"""Reads the file of a pickled model, compressed or not, without executing it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from klever.errors import InvalidError
from klever.limits import DEFAULTS
from klever.pickles.names import PLAIN, Pickle
from klever.pickles.reader import read_pickle
from klever.pickles.streams import CODECS, Budget, Inflated, Source

__all__ = ["code_warnings", "read_file"]

_MAX_WARNED: Final = 20
_LIBRARIES: Final = ("sklearn", "numpy", "scipy", "xgboost", "lightgbm")
"""Packages whose classes are expected in a tabular model."""
_EXPECTED: Final = frozenset((
    *PLAIN,
    "builtins.object", "__builtin__.object", "collections.defaultdict", "copy_reg._reconstructor",
    "copyreg._reconstructor", "numpy.float32", "numpy.float64", "numpy.int32", "numpy.int64",
    "numpy.ma.core._mareconstruct", "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__generator_ctor", "numpy.random._pickle.__randomstate_ctor",
    "sklearn.metrics._dist_metrics.newObj", "sklearn.neighbors._ball_tree.newObj", "sklearn.neighbors._kd_tree.newObj",
))  # fmt: skip
_OLD_JOBLIB: Final = b"ZF0x"
_INTERNAL: Final = "__pyx_unpickle_"
"""The prefix of the functions that make objects of Cython classes."""


def read_file(path: Path) -> Pickle:
    """Read the pickle in a file. Raises `InvalidError` if it cannot be read to its end."""
    with path.open("rb") as file:
        if file.read(len(_OLD_JOBLIB)) == _OLD_JOBLIB:
            raise InvalidError(
                f"{path.name} is compressed in the format of joblib before 0.10: load it and save it again with "
                f"joblib.dump(model, path, compress=3)"
            )
        found = read_pickle(_source(file), Budget.of(DEFAULTS))
    if found.damaged:
        raise InvalidError(f"cannot read {path.name} as a pickle: {found.damaged}; copy it again")
    limit = next((name for name in found.unsafe if name.startswith("(the limit ")), "")
    if limit:
        raise InvalidError(f"cannot read {path.name} to its end: {limit.strip('()')}", reason="LIMIT_EXCEEDED")
    return found


def code_warnings(found: Pickle) -> tuple[str, ...]:
    """Return a warning for each global that no model of scikit-learn, XGBoost or LightGBM needs."""
    return tuple(sorted(_unexpected(found)))[:_MAX_WARNED]


def _unexpected(found: Pickle) -> Iterator[str]:
    for name in found.unsafe:
        if name.startswith("("):
            yield f"the pickle has an operation that cannot be followed: {name[:200]}"
        elif not _is_expected(name):
            yield f"loading the model runs {name[:200]}, which is not part of its framework"


def _is_expected(name: str) -> bool:
    module, _, last = name.rpartition(".")
    is_class = last.lstrip("_")[:1].isupper() or last.startswith(_INTERNAL)
    return name in _EXPECTED or (is_class and module.partition(".")[0] in _LIBRARIES)


def _source(file: BinaryIO) -> Source:
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    codec = next((make for magic, make in CODECS if head.startswith(magic)), None)
    return Inflated(file, codec) if codec else file
