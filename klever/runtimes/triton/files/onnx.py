"""Runs `model.onnx` with ONNX Runtime."""

import numpy as np
import onnxruntime as ort
from tensors import check, text

INVALID = (ValueError, ort.capi.onnxruntime_pybind11_state.InvalidArgument)
TYPES = {"tensor(string)": object, "tensor(float)": np.float32, "tensor(double)": np.float64}


def load(config, directory):
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(config["parameters"]["intra_op_thread_count"]["string_value"])
    options.inter_op_num_threads = 1
    # The sender of a request gets its errors, so they need not be logged.
    options.log_severity_level = 4
    # Threads that spin while they wait would take cores from the server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The real path, because external data is next to the file and ONNX Runtime does not follow links to it.
    path = str((directory / "model.onnx").resolve())
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    check("input", config["input"], described(session.get_inputs()))
    check("output", config["output"], described(session.get_outputs()))
    # In Triton's configuration, a rank of 0 is one dimension of 1.
    scalars = {tensor.name for tensor in session.get_inputs() if tensor.shape == []}

    def run(arrays, wanted):
        feeds = {name: text(array) for name, array in arrays.items()}
        return session.run(wanted, feeds | {name: feeds[name].reshape(()) for name in scalars & feeds.keys()})

    return run


def described(tensors):
    return {tensor.name: (np.dtype(dtype(tensor.type)), len(tensor.shape)) for tensor in tensors}


def dtype(kind):
    """Return the numpy type of a type such as `tensor(int64)`."""
    return TYPES.get(kind) or kind.removeprefix("tensor(").removesuffix(")")
