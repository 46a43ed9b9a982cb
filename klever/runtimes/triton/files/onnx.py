"""Serves `STORE/model/model.onnx` with ONNX Runtime, in Triton's Python backend; this file is in STORE/models/NAME/1.

It runs in the stub of the environment `triton` (numpy 1, ONNX Runtime), where nothing of Klever is installed.
"""

import ctypes
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

ERROR = "ONNX Runtime: "
"""Begins every error of the model itself: such an answer shows that the model runs."""

MADV_DONTNEED = 4

TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_STRING": "tensor(string)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    **{f"TYPE_{sign}INT{bits}": f"tensor({sign.lower()}int{bits})" for sign in ("", "U") for bits in (8, 16, 32, 64)},
}


class TritonPythonModel:
    """One session. Triton calls `execute` from one thread, with one request where max_batch_size is 0."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["intra_op_thread_count"]["string_value"])
        options.inter_op_num_threads = 1
        # What goes wrong in a request is told to its sender: the log stays readable.
        options.log_severity_level = 4
        # Threads that spin while they wait take the cores from the server beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The real path: external data lies beside the file, and ONNX Runtime does not follow links to it.
        path = str(Path(args["model_repository"]).parents[1].joinpath("model", "model.onnx").resolve())
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        check("input", config["input"], self.session.get_inputs())
        check("output", config["output"], self.session.get_outputs())
        # A rank of 0 is written as one dimension of 1 in Triton's configuration.
        self.scalars = {tensor.name for tensor in self.session.get_inputs() if tensor.shape == []}
        self.outputs = [tensor["name"] for tensor in config["output"]]
        release_code()

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        wanted = set(request.requested_output_names())
        outputs = [name for name in self.outputs if name in wanted]
        try:
            arrays = self.session.run(outputs, {tensor.name(): self.array(tensor) for tensor in request.inputs()})
        except UnicodeDecodeError as error:
            return refusal(f"strings must be UTF-8: {error}", pb_utils.TritonError.INVALID_ARG)
        except ort.capi.onnxruntime_pybind11_state.InvalidArgument as error:
            return refusal(error, pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # noqa: BLE001 - whatever the model raises is its answer
            return refusal(error, pb_utils.TritonError.INTERNAL)
        pairs = zip(outputs, arrays, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, vector(array)) for name, array in pairs])

    def array(self, tensor):
        """The tensor's values, where possible without a copy; ONNX Runtime takes strings as str."""
        array = tensor.as_numpy()
        if array.dtype == object:
            flat = [value.decode() for value in array.ravel()]
            array = np.array(flat, dtype=object).reshape(array.shape)
        return array.reshape(()) if tensor.name() in self.scalars else array


def release_code():
    """Unmap the program text that only loading needed: a third of the memory of a small model.

    It stays in the page cache, and what inference needs of it is mapped again at its first use.
    """
    madvise = ctypes.CDLL(None).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if fields[1] == "r-xp" and fields[-1].startswith("/"):
            start, end = (int(address, 16) for address in fields[0].split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def vector(array):
    return array.reshape(1) if array.ndim == 0 else array


def refusal(error, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{ERROR}{error}", code))


def check(kind, declared, actual):
    """Fail to load, rather than at each request, where the configuration differs from the model's own tensors."""
    wanted = {tensor["name"]: (TYPES.get(tensor["data_type"]), len(tensor["dims"])) for tensor in declared}
    present = {tensor.name: (tensor.type, max(1, len(tensor.shape))) for tensor in actual}
    for name in wanted.keys() - present.keys():
        raise ValueError(f"the model has no {kind} {name}; it has {', '.join(sorted(present))}")
    for name in present.keys() & wanted.keys():
        if present[name] != wanted[name]:
            (type_, rank), (declared_type, declared_rank) = present[name], wanted[name]
            raise ValueError(
                f"the model's {kind} {name} is {type_} of rank {rank}, "
                f"and its signature says {declared_type} of rank {declared_rank}"
            )
    if kind == "input" and present.keys() - wanted.keys():
        raise ValueError(f"the signature lacks the model's input {', '.join(sorted(present.keys() - wanted.keys()))}")
