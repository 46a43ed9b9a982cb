"""Runs a model that takes rows. `framework.py` beside it loads what is in STORE/model.

Its `load` returns the methods of the model by the names of the outputs that they compute, and whether what they compute
of a row depends on that row alone. It may have `arrange`, which makes what its methods take of the inputs by name.
"""

import framework
import numpy as np
from tensors import SignatureError, declared, text

INVALID = (ValueError, TypeError, KeyError)
"""What numpy and pandas say of the request's values."""


def load(config, directory):
    columns = [tensor["name"] for tensor in config["input"]]
    arrange = getattr(framework, "arrange", rows)
    outputs = {name: Output(name, *described) for name, described in declared(config["output"]).items()}
    methods, row_by_row = framework.load(directory)
    chosen = {name: choose(name, methods, len(outputs)) for name in outputs}

    def run(arrays, wanted):
        given = arrange({name: text(arrays[name]) for name in columns})
        results = {method: method(given) for method in dict.fromkeys(chosen[name] for name in wanted)}
        return [outputs[name].array(results[chosen[name]]) for name in wanted]

    run.row_by_row = row_by_row
    return run


def rows(arrays):
    """The only input as an array, several inputs as the columns of a DataFrame."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    import pandas as pd  # noqa: PLC0415 - it takes memory that models without named columns need not

    return pd.DataFrame({name: array.reshape(-1) for name, array in arrays.items()})


class Output:
    """An output as the model's signature declares it."""

    def __init__(self, name, dtype, dims):
        self.name = name
        self.dtype = dtype
        self.dims = dims

    def array(self, result):
        """The method's result with the declared type and rank; raises `SignatureError` for another type.

        A table or a dictionary has its outputs by name.
        """
        array = np.asarray(result[self.name] if hasattr(result, "keys") else result)
        if self.dtype == object:
            flat = [str(value).encode() for value in array.ravel()]
            array = np.array(flat, dtype=object).reshape(array.shape)
        elif array.dtype != object and not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise SignatureError(f"the output {self.name} is {array.dtype}, and the signature says {self.dtype}")
        if array.ndim != len(self.dims):
            array = array.reshape(-1, *self.dims[1:])
        return np.ascontiguousarray(array, dtype=self.dtype)


def choose(name, methods, outputs):
    """The method of the model that computes an output: the one of its name, or the first for an only output."""
    if name in methods:
        return methods[name]
    if outputs == 1 or len(methods) == 1:
        return next(iter(methods.values()))
    raise SignatureError(f"the model has no output {name!r}: name the outputs of the signature {', '.join(methods)}")
