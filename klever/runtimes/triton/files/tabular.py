"""Runs a model of rows. The adjacent `framework.py` loads the model in STORE/model.

Its `load` returns the methods of the model by the names of their outputs, and whether requests are computed together by
default: the result for a row must depend only on that row, and a call must cost more than collecting. It may have
`arrange`, which converts the inputs by name to the arguments of the methods.
"""

import framework
import numpy as np
from tensors import SignatureError, declared, text

INVALID = (ValueError, TypeError, KeyError)
"""The errors of numpy and pandas for invalid values in a request."""


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
    """An output in the model's signature."""

    def __init__(self, name, dtype, dims):
        self.name = name
        self.dtype = dtype
        self.dims = dims

    def array(self, result):
        """The method's result with the declared type and rank. Raises `SignatureError` for another type.

        A table or a dictionary has its outputs by name.
        """
        array = np.asarray(result[self.name] if hasattr(result, "keys") else result)
        if self.dtype == object:
            flat = [str(value).encode() for value in array.ravel()]
            array = np.array(flat, dtype=object).reshape(array.shape)
        elif array.dtype != object and not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise SignatureError(
                f"the output {self.name} has the type {array.dtype}, but the signature declares {self.dtype}"
            )
        if array.ndim != len(self.dims):
            array = array.reshape(-1, *self.dims[1:])
        return np.ascontiguousarray(array, dtype=self.dtype)


def choose(name, methods, outputs):
    """The method that computes an output: the one with its name, or the first one for an only output."""
    if name in methods:
        return methods[name]
    if outputs == 1 or len(methods) == 1:
        return next(iter(methods.values()))
    raise SignatureError(f"the model has no output {name!r}: the signature must name the outputs {', '.join(methods)}")
