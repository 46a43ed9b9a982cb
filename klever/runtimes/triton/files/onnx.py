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
    # What goes wrong in a request is told to its sender: the log stays readable.
    options.log_severity_level = 4
    # Threads that spin while they wait take the cores from the server beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The real path: external data lies beside the file, and ONNX Runtime does not follow links to it.
    path = str((directory / "model.onnx").resolve())
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    check("input", config["input"], described(session.get_inputs()))
    check("output", config["output"], described(session.get_outputs()))
    # A rank of 0 is written as one dimension of 1 in Triton's configuration.
    scalars = {tensor.name for tensor in session.get_inputs() if tensor.shape == []}

    def run(arrays, wanted):
        feeds = {name: text(array) for name, array in arrays.items()}
        return session.run(wanted, feeds | {name: feeds[name].reshape(()) for name in scalars & feeds.keys()})

    return run


def described(tensors):
    return {tensor.name: (np.dtype(dtype(tensor.type)), len(tensor.shape)) for tensor in tensors}


def dtype(kind):
    """Return numpy's type of one such as `tensor(int64)`."""
    return TYPES.get(kind) or kind.removeprefix("tensor(").removesuffix(")")
