"""Runs a SavedModel, a frozen graph or a Keras model with TensorFlow: `saved_model/`, or the file `model.*`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only

import keras_models
import numpy as np
import tensorflow as tf
import tensorflow_models
from tensors import check

INVALID = (tf.errors.InvalidArgumentError, ValueError, TypeError)


def load(config, directory):
    tf.config.threading.set_intra_op_parallelism_threads(
        int(config["parameters"]["intra_op_thread_count"]["string_value"])
    )
    tf.config.threading.set_inter_op_parallelism_threads(1)
    inputs, outputs = ([tensor["name"] for tensor in config[side]] for side in ("input", "output"))
    model = open_model(directory, inputs, outputs, code="code" in config["parameters"])
    check("input", config["input"], described(model.inputs))
    check("output", config["output"], described(model.outputs))
    # In Triton's configuration, a rank of 0 is one dimension of 1.
    scalars = {name for name, spec in model.inputs.items() if spec.shape.rank == 0}

    def run(arrays, wanted):
        results = model.call(arrays | {name: arrays[name].reshape(()) for name in scalars & arrays.keys()})
        return [array(results[name]) for name in wanted]

    return run


def open_model(directory, inputs, outputs, *, code):
    (name,) = (entry.name for entry in directory.iterdir())
    path = (directory / name).resolve()
    if name == "saved_model":
        return tensorflow_models.load_saved_model(path, inputs, outputs)
    if name == "model.graphdef":
        return tensorflow_models.load_graph(path, inputs, outputs)
    keras = keras_models.load_file(path, code=code)
    function = keras.function()
    return tensorflow_models.TensorFlowModel(function, keras.inputs, function.structured_outputs, keras)


def described(specs):
    return {name: (np.dtype(spec.dtype.as_numpy_dtype), spec.shape.rank) for name, spec in specs.items()}


def array(tensor):
    return np.asarray(tensor.numpy(), dtype=object if tensor.dtype == tf.string else None)
