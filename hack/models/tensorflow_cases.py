"""Writes models of TensorFlow and Keras and the frameworks' own answers to tests/data/networks.

Run it in the Python of the environment `tensorflow`:
`PYTHONPATH=. $(klever env install tensorflow)/bin/python hack/models/tensorflow_cases.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from hack.models.serving import write

RANDOM = np.random.default_rng(12)
ROWS = RANDOM.standard_normal((5, 4)).astype(np.float32)


class Signatures(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """A module with two signatures: numbers of several types, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(RANDOM.standard_normal((4, 3)).astype(np.float32))
        numbers = [tf.TensorSpec((None, 4), tf.float32, "x"), tf.TensorSpec((), tf.float64, "temperature")]
        self.classified = tf.function(self.classify, input_signature=numbers)
        self.counted = tf.function(self.count, input_signature=[tf.TensorSpec((None,), tf.string, "words")])

    def classify(self, x: Any, temperature: Any) -> dict[str, Any]:
        scores = tf.nn.softmax(tf.matmul(x, self.weights) / tf.cast(temperature, tf.float32))
        best = tf.argmax(scores, axis=1)
        names = tf.gather(tf.constant(["red", "green", "blue"]), best)
        return {"scores": scores, "best": best, "name": names, "sure": tf.reduce_max(scores, 1) > 0.5}

    def count(self, words: Any) -> dict[str, Any]:
        return {"lengths": tf.strings.length(words), "upper": tf.strings.upper(words)}


def saved_models() -> None:
    module = Signatures()
    signatures = {"serving_default": module.classified, "count": module.counted}

    def save(to: Path) -> None:
        tf.saved_model.save(module, str(to), signatures=signatures)
        (to / "fingerprint.pb").unlink()

    inputs = {"x": ROWS, "temperature": np.array([2.0])}
    outputs = numpy(module.classified(x=ROWS, temperature=tf.constant(2.0, tf.float64)))
    write("networks/savedmodel", save, inputs, outputs)
    words = np.array(["Klever", "", "grün"], object)
    write(
        "networks/savedmodel-count",
        save,
        {"words": words},
        numpy(module.counted(words=tf.constant(words))),
        declared=True,
    )


def keras_2_saved_model() -> None:
    """A SavedModel that TensorFlow loads only if Keras 2 is imported."""
    model = keras_2()
    model.compile("adam", "mse")
    model.fit({"left": ROWS, "right": ROWS}, [np.zeros((5, 2)), np.zeros((5, 1))], verbose=0)
    outputs = dict(zip(model.output_names, numpy_list(model([ROWS, ROWS])), strict=True))
    inputs = {"left": ROWS, "right": ROWS}
    write("networks/savedmodel-keras2", lambda to: model.save(to, save_format="tf"), inputs, outputs)


def frozen_graph() -> None:
    module = Signatures()
    frozen = convert_variables_to_constants_v2(module.classified.get_concrete_function())
    names = ["scores", "best"]
    graph = tf.Graph()
    with graph.as_default():
        x, temperature = tf.compat.v1.placeholder(tf.float32, (None, 4), "x"), tf.constant(2.0, tf.float64)
        tf.import_graph_def(frozen.graph.as_graph_def(), {"x": x, "temperature": temperature}, name="")
        scores, best = (by_output(graph, frozen, position) for position in (2, 0))
        ends = [tf.identity(scores, names[0]), tf.identity(best, names[1])]
        with tf.compat.v1.Session(graph=graph) as session:
            answers = session.run(ends, {x: ROWS})
    pruned = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), names)
    write(
        "networks/graphdef",
        lambda to: (to / "frozen.graphdef").write_bytes(pruned.SerializeToString()),
        {"x": ROWS},
        dict(zip(names, answers, strict=True)),
    )


def by_output(graph: Any, frozen: Any, position: int) -> Any:
    return graph.get_tensor_by_name(frozen.outputs[position].name)


def keras_2() -> Any:
    left, right = tf_keras.Input((4,), name="left"), tf_keras.Input((4,), name="right")
    shared = tf_keras.layers.Dense(2, activation="relu", name="shared")
    both = tf_keras.layers.Add(name="both")([shared(left), shared(right)])
    return tf_keras.Model([left, right], [both, tf_keras.layers.Dense(1, name="total")(both)])


def keras_2_file() -> None:
    model = keras_2()
    outputs = dict(zip(model.output_names, numpy_list(model([ROWS, ROWS + 1])), strict=True))
    write("networks/h5", lambda to: model.save(to / "two.h5"), {"left": ROWS, "right": ROWS + 1}, outputs)


def keras_3_files() -> None:
    """A Sequential model in the old format, and one with nested inputs and states in the new one."""
    model = keras.Sequential([keras.Input((4,), name="row"), keras.layers.Dense(3, activation="softmax", name="class")])
    write("networks/h5-keras3", lambda to: model.save(to / "iris.h5"), {"row": ROWS}, {"class": model(ROWS).numpy()})
    steps, start = keras.Input((None, 4), name="steps"), keras.Input((3,), name="start")
    states = keras.layers.LSTM(3, return_state=True, name="lstm")(steps, initial_state=[start, start])
    nested = keras.Model({"steps": steps, "start": start}, states)
    inputs = {"steps": RANDOM.standard_normal((2, 5, 4)).astype(np.float32), "start": np.ones((2, 3), np.float32)}
    outputs = dict(zip(("lstm", "lstm_1", "lstm_2"), numpy_list(nested(inputs)), strict=True))
    write("networks/keras", lambda to: nested.save(to / "states.keras"), inputs, outputs)


def numpy(results: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in results.items()}


def numpy_list(results: list[Any]) -> list[Any]:
    return [value.numpy() for value in results]


def main() -> None:
    tf.random.set_seed(12)
    for case in (saved_models, keras_2_saved_model, frozen_graph, keras_2_file, keras_3_files):
        case()


main()
