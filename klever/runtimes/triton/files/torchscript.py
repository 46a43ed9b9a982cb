"""Runs the TorchScript model `model.pt` with PyTorch."""

import warnings

import torch
import torch_models
from tensors import SignatureError, compare, declared

INVALID = (ValueError, TypeError, RuntimeError)
"""The errors of invalid requests. PyTorch has no specific class for them."""


def load(config, directory):
    torch.set_num_threads(int(config["parameters"]["intra_op_thread_count"]["string_value"]))
    torch.set_num_interop_threads(1)
    # No other request shares the values.
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    outputs = declared(config["output"])
    path = (directory / "model.pt").resolve()
    model = torch_models.load_file(path, [tensor["name"] for tensor in config["input"]], list(outputs))

    def run(arrays, wanted):
        try:
            results = model.call(arrays)
        except torch_models.OtherResultsError as error:
            raise SignatureError(str(error)) from error
        for name in wanted:
            compare(f"output {name}", outputs[name], (results[name].dtype, results[name].ndim))
        return [results[name] for name in wanted]

    return run
