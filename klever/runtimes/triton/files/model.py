"""Serves a model in Triton's Python backend. This file is STORE/models/NAME/1/model.py.

The adjacent `program.py` loads the model below STORE/model and runs it. It has `load(config, directory)`, which returns
a function from the inputs by name and the names of the wanted outputs to their arrays, and `INVALID`, the errors of
invalid requests. If the function has the attribute `row_by_row`, it gets the rows of several requests at once. The
predictor's `batching` decides for any function. Both run in the stub of an environment with numpy 1, without Klever.
"""

import ctypes
import json
from pathlib import Path

import program
import triton_python_backend_utils as pb_utils
from batches import Batches
from tensors import SignatureError

ERROR = "model error: "
"""The prefix of every error of the model itself. Such a response shows that the model runs."""

MADV_DONTNEED = 4
MAX_MESSAGE = 500
NOTHING = {"string_value": "0"}


class TritonPythonModel:
    """One model. Triton calls `execute` from one thread, with one request because max_batch_size is 0."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.outputs = [tensor["name"] for tensor in config["output"]]
        self.run = load(config, Path(args["model_repository"]).parents[1] / "model")
        self.batches = self.batching(config["parameters"])
        release_code()

    def batching(self, parameters):
        """Return what computes requests together; None if each is computed alone."""
        rows, delay = (int(parameters.get(name, NOTHING)["string_value"]) for name in ("batch_rows", "queue_delay_us"))
        if rows:
            return Batches(self.run, self.outputs, self.answer, rows, delay / 1e6) if rows > 1 else None
        together = getattr(self.run, "row_by_row", False)
        return Batches(self.run, self.outputs, self.answer) if together else None

    def execute(self, requests):
        if self.batches:
            return self.batches.take(requests)
        return [self.answer(request) for request in requests]

    def answer(self, request):
        wanted = set(request.requested_output_names())
        outputs = [name for name in self.outputs if name in wanted]
        try:
            arrays = self.run({tensor.name(): tensor.as_numpy() for tensor in request.inputs()}, outputs)
        except SignatureError as error:
            return refusal(str(error), pb_utils.TritonError.INTERNAL)
        except program.INVALID as error:
            return refusal(f"{ERROR}{error}", pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # noqa: BLE001 - whatever the model raises is its answer
            return refusal(f"{ERROR}{error}", pb_utils.TritonError.INTERNAL)
        pairs = zip(outputs, arrays, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, vector(array)) for name, array in pairs])


def load(config, directory):
    """Load the model. The error of a failure is short, because Triton logs it last and in one line."""
    try:
        return program.load(config, directory)
    except Exception as error:  # noqa: BLE001 - whatever the model or its framework raises
        raise ValueError(f"the model cannot be loaded: {type(error).__name__}: {str(error)[:MAX_MESSAGE]}") from None


def release_code():
    """Unmap program text that only loading needed: a third of the memory of a small model.

    It stays in the page cache, and inference maps the needed parts again at their first use.
    """
    madvise = ctypes.CDLL(None).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if fields[1] == "r-xp" and fields[-1].startswith("/"):
            start, end = (int(address, 16) for address in fields[0].split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def vector(array):
    """Convert a scalar to a vector of one value, because Triton has no scalars."""
    return array.reshape(1) if array.ndim == 0 else array


def refusal(message, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
