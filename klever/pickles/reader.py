"""Reads pickles without executing them: the globals that they name, and how they use them.

The opcodes of protocols 0 to 5 (CPython's `pickletools`, `Modules/_pickle.c`) run on a machine whose values are
symbols: names are text, all other values are opaque. Nothing is imported or called. Operations that the machine cannot
follow, such as a global with a computed name, count as unsafe. Arrays that joblib writes between the opcodes
(`joblib.numpy_pickle.NumpyArrayWrapper`) are skipped if their size is certain.
"""

from __future__ import annotations

from klever.pickles.machine import Machine
from klever.pickles.names import Pickle
from klever.pickles.streams import Budget, BudgetError, DamagedError, Reader, Source

__all__ = ["Pickle", "read_pickle"]


def read_pickle(source: Source, budget: Budget) -> Pickle:
    """Read the consecutive pickles of a stream. Raises `BudgetError`, after adding what was found so far."""
    found = Pickle()
    reader = Reader(source, budget)
    try:
        found.value = Machine(reader, budget, found).run()
        while not reader.ended():
            Machine(reader, budget, found).run()
    except DamagedError as error:
        found.damaged = str(error)
    except BudgetError as error:
        found.suspect(f"({error})")
    return found
