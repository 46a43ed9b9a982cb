"""Serves a model that takes rows, in Triton's Python backend; this file is STORE/models/NAME/1/model.py.

`framework.py` beside it loads the model below STORE/model, and may arrange the inputs in its own way. It runs in the
stub of an environment with numpy 1, where nothing of Klever is installed.
"""

import json
from pathlib import Path

import framework
import numpy as np
import triton_python_backend_utils as pb_utils

ERROR = "model error: "
"""Begins every error of the model itself: such an answer shows that the model runs."""


class TritonPythonModel:
    """One model. Triton calls `execute` from one thread, with one request where max_batch_size is 0."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = {tensor["name"]: Output(tensor) for tensor in config["output"]}
        self.arrange = getattr(framework, "arrange", rows)
        methods = framework.load(Path(args["model_repository"]).parents[1] / "model")
        self.methods = {name: choose(name, methods, len(self.outputs)) for name in self.outputs}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        wanted = [name for name in self.outputs if name in request.requested_output_names()]
        try:
            results = self.compute(self.arrays(request.inputs()), wanted)
        except (ValueError, TypeError, KeyError) as error:  # of the request's values, as numpy and pandas say it
            return refusal(error, pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # noqa: BLE001 - whatever the model raises is its answer
            return refusal(error, pb_utils.TritonError.INTERNAL)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in results])

    def arrays(self, tensors):
        """The values of the inputs by name, in the order of the signature."""
        arrays = {tensor.name(): decoded(tensor.as_numpy()) for tensor in tensors}
        return {name: arrays[name] for name in self.inputs}

    def compute(self, arrays, wanted):
        arranged = self.arrange(arrays)
        results = {method: method(arranged) for method in dict.fromkeys(self.methods[name] for name in wanted)}
        return [(name, self.outputs[name].array(results[self.methods[name]])) for name in wanted]


class Output:
    """An output as the model's signature declares it."""

    def __init__(self, tensor):
        self.name = tensor["name"]
        self.dtype = np.dtype(pb_utils.triton_string_to_numpy(tensor["data_type"]))
        self.dims = [int(size) for size in tensor["dims"]]

    def array(self, result):
        """The method's result with the declared type and rank; raises `ValueError` for one that does not fit.

        A table or dictionary has its outputs by name.
        """
        array = np.asarray(result[self.name] if hasattr(result, "keys") else result)
        if self.dtype == object:
            flat = [str(value).encode() for value in array.ravel()]
            array = np.array(flat, dtype=object).reshape(array.shape)
        elif array.dtype != object and not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise ValueError(f"the output {self.name} is {array.dtype}, and the signature says {self.dtype}")
        if array.ndim != len(self.dims):
            array = array.reshape(-1, *self.dims[1:])
        return np.ascontiguousarray(array, dtype=self.dtype)


def rows(arrays):
    """The only input as an array, several inputs as the columns of a DataFrame."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    import pandas as pd  # noqa: PLC0415 - it takes memory that models without named columns need not

    return pd.DataFrame({name: array.reshape(-1) for name, array in arrays.items()})


def choose(name, methods, outputs):
    """The method of the model that computes an output: the one of its name, or the first for an only output."""
    if name in methods:
        return methods[name]
    if outputs == 1 or len(methods) == 1:
        return next(iter(methods.values()))
    raise ValueError(f"the model has no output {name!r}: name the outputs of the signature {', '.join(methods)}")


def decoded(array):
    """The values; strings as text."""
    if array.dtype != object:
        return array
    return np.array([value.decode() for value in array.ravel()], dtype=object).reshape(array.shape)


def refusal(error, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{ERROR}{error}", code))
