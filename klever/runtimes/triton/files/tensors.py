"""Checks the tensors of a model's configuration, and converts the values of requests."""

import numpy as np
import triton_python_backend_utils as pb_utils


class SignatureError(Exception):
    """The signature does not match the model, so no request can be answered."""


def declared(tensors):
    """Return the numpy type and shape of each tensor in a configuration, by name. -1 is a dynamic dimension."""
    return {
        tensor["name"]: (
            np.dtype(pb_utils.triton_string_to_numpy(tensor["data_type"])),
            tuple(int(size) for size in tensor["dims"]),
        )
        for tensor in tensors
    }


def check(kind, tensors, actual):
    """Raise `SignatureError` if the configuration differs from the model's tensors, instead of at each request.

    `actual` has the numpy type and the rank (None if unknown) of the model's tensors, by name.
    """
    wanted = declared(tensors)
    for name in wanted.keys() - actual.keys():
        raise SignatureError(f"the model has no {kind} {name}; it has {', '.join(sorted(actual))}")
    for name in actual.keys() & wanted.keys():
        compare(f"{kind} {name}", wanted[name], actual[name])
    if kind == "input" and actual.keys() - wanted.keys():
        missing = ", ".join(sorted(actual.keys() - wanted.keys()))
        raise SignatureError(f"the signature lacks the model's input {missing}")


def compare(what, wanted, actual):
    """Raise `SignatureError` for a tensor that differs from its declaration.

    A scalar is declared as a vector, and so is an output of unknown rank.
    """
    (dtype, shape), (actual_dtype, actual_rank) = wanted, actual
    rank = len(shape)
    unknown = actual_rank is None or (shape == (-1,) and what.startswith("output "))
    if dtype != actual_dtype or (not unknown and rank != max(1, actual_rank)):
        shown = "" if actual_rank is None else f" of rank {max(1, actual_rank)}"
        raise SignatureError(
            f"the model's {what} is {named(actual_dtype)}{shown}, but its signature has {named(dtype)} of rank {rank}"
        )


def named(dtype):
    return "string" if dtype.kind == "O" else str(dtype)


def text(array):
    """Return the values, with strings as text instead of Triton's bytes."""
    if array.dtype.kind != "O":
        return array
    try:
        flat = [value.decode() for value in array.ravel()]
    except UnicodeDecodeError as error:
        raise ValueError(f"strings must be UTF-8: {error}") from error
    return np.array(flat, dtype=object).reshape(array.shape)
