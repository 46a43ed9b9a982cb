"""Caffe networks: their shapes, their old variants, and what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats import Details, Signature, Tensor
from klever.formats.prototxt import parse
from tests.unit.formats.test_hostile_models import f

DATA = Path(__file__).parents[2] / "data" / "caffe"
SHAPES = DATA / "shapes"
WANTED: dict[str, dict[str, list[int]]] = json.loads((SHAPES / "wanted.json").read_text())


def read(directory: Path, text: str, weights: bytes = b"") -> Signature:
    (directory / "m.prototxt").write_text(text)
    (directory / "m.caffemodel").write_bytes(weights)
    return formats.get(formats.detect(directory)).read_signature(directory)


def sizes(tensors: tuple[Tensor, ...]) -> dict[str, Any]:
    return {tensor.name: None if tensor.size is None else list(tensor.size) for tensor in tensors}


def test_the_small_model() -> None:
    found = formats.get("CaffeModel").read_signature(DATA / "model")
    assert sizes(found.inputs) == {"X": [1, 5], "Y": [1, 5]}
    assert sizes(found.outputs) == {"Z": [1, 5]}
    assert (found.layers, found.details) == ({"Eltwise": 1, "Input": 2}, Details(parameters=0, parameter_bytes=0))


@pytest.mark.parametrize("name", WANTED)
def test_every_layer_has_the_shape_that_opencv_gives(tmp_path: Path, name: str) -> None:
    """The answers are those of hack/models/caffe_shapes.py. A network that ends early has more outputs."""
    text = (SHAPES / f"{name}.prototxt").read_text()
    lines = text.splitlines(keepends=True)
    starts = [layer.line for layer in parse(text).messages("layer")] + [len(lines) + 1]
    seen: dict[str, Any] = {}
    for end in starts[1:]:
        found = read(tmp_path, "".join(lines[: end - 1]))
        seen |= sizes(found.outputs)
    assert seen == WANTED[name]


OLD = """
name: "old"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  blobs_lr: 1 convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "loss" type: SOFTMAX bottom: "conv" top: "prob" }
"""


def test_layers_of_version_1(tmp_path: Path) -> None:
    found = read(tmp_path, OLD)
    assert (sizes(found.inputs), sizes(found.outputs)) == ({"data": [1, 3, 8, 8]}, {"prob": [1, 4, 6, 6]})
    assert found.layers == {"Convolution": 1, "ReLU": 1, "Softmax": 1}


def test_layers_of_version_0_say_how_to_upgrade(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"line 2: .*upgrade_net_proto_text"):
        read(tmp_path, 'input: "x"\nlayers { layer { name: "c" type: "conv" } bottom: "x" top: "c" }')


def test_several_declared_inputs_and_slices(tmp_path: Path) -> None:
    text = """
    input: "a" input: "b" input_shape { dim: 1 dim: 6 dim: 2 } input_shape { dim: 4 }
    layer { type: "Slice" bottom: "a" top: "p" top: "q" slice_param { axis: 1 slice_point: 2 } }
    layer { type: "Slice" bottom: "p" top: "r" top: "s" }
    layer { type: "Silence" bottom: "b" }
    """
    found = read(tmp_path, text)
    assert sizes(found.inputs) == {"a": [1, 6, 2], "b": [4]}
    assert sizes(found.outputs) == {"q": [1, 4, 2], "r": [1, 1, 2], "s": [1, 1, 2]}


def test_layers_of_the_training_phase_are_left_out(tmp_path: Path) -> None:
    text = """
    layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN } }
    layer { name: "test" type: "Data" top: "data" top: "label" include: { phase: TEST } }
    layer { name: "drop" type: "Dropout" bottom: "data" top: "data" exclude { phase: TEST } }
    layer { name: "acc" type: "Accuracy" bottom: "data" bottom: "label" top: "accuracy" }
    """
    found = read(tmp_path, text)
    assert sizes(found.inputs) == {"data": None, "label": None}
    assert found.layers == {"Accuracy": 1, "Data": 1}


def test_a_layer_without_a_rule_gives_a_warning_and_the_rest(tmp_path: Path) -> None:
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }
    layer { name: "odd" type: "Fancy" bottom: "x" top: "y" }
    layer { name: "r" type: "ReLU" bottom: "x" top: "z" }
    """
    found = read(tmp_path, text)
    assert sizes(found.outputs) == {"y": None, "z": [1, 4]}
    (warning,) = found.details.warnings
    assert "Fancy" in warning


def test_weights_are_counted_in_all_their_forms(tmp_path: Path) -> None:
    now = f(100, f(7, f(7, f(1, b"\3\4")) + f(5, bytes(48))))
    old = f(2, f(6, f(1, 1) + f(2, 1) + f(3, 1) + f(4, 5) + f(8, bytes(40))))
    assert read(tmp_path, OLD, now + old).details == Details(parameters=17, parameter_bytes=88)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: 'a'\nlayer {\n  name 'x'\n}", 3, "':' or '{' after 'name'"),
        ("name: 'a'\nlayer {\n  name: 'x'\n", 4, "the name of a field, not the end of the file"),
        ("\n\n}", 3, "the name of a field, not '}'"),
        ("\n# a comment\nname: }", 3, "a value"),
        ("name: 'a\n'", 1, "unexpected"),
        ("\nlayer { type: 'ReLU' bottom: 'x' top: 'y' }", 2, "'x', which no layer writes"),
        ("input: 'x'\n\ninput_shape { dim: many }\nlayer { type: 'ReLU' }", 3, "dim must be a whole number"),
        (
            "input: 'x' input_shape { dim: 2 }\nlayer { type: 'Concat' bottom: 'x' concat_param { axis: 5 } }",
            2,
            "not fit",
        ),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(InvalidError, match=rf"m\.prototxt .*line {line}: .*{said}"):
        read(tmp_path, text)


def test_texts_lists_and_comments_are_parsed() -> None:
    message = parse("a: 'x' \"y\" # z\nb: [1, -2,3]; c < d: 1e-3, > c { d: true } e: [{ f: 1 }, < f: 2 >]")
    assert (message.text("a"), message.numbers("b")) == ("xy", [1, -2, 3])
    assert [part.text("d") for part in message.messages("c")] == ["1e-3", "true"]
    assert [part.number("f", 0) for part in message.messages("e")] == [1, 2]
