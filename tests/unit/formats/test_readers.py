"""Signatures of real models, and of broken ones."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from klever import formats
from klever.errors import InvalidError
from klever.formats import Signature, Tensor

DATA = Path(__file__).parents[2] / "data"


def read(directory: Path) -> Signature:
    return formats.get(formats.detect(directory)).read_signature(directory)


def save_onnx(directory: Path, inputs: list[onnx.ValueInfoProto], nodes: list[onnx.NodeProto]) -> None:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", inputs, [output])), str(directory / "m.onnx"))


def test_onnx() -> None:
    assert read(DATA / "onnx" / "model") == Signature(
        inputs=(Tensor("X", (1, 5), "float32"), Tensor("Y", (1, 5), "float32")),
        outputs=(Tensor("Z", (1, 5), "float32"),),
        layers={"Add": 1},
    )


def test_savedmodel() -> None:
    signature = read(DATA / "savedmodel" / "model")
    assert signature.inputs == (Tensor("x", (-1,), "float32"), Tensor("y", (-1,), "float32"))
    assert signature.outputs == (Tensor("out", (-1,), "float32"),)
    graph = {op: count for op, count in signature.layers.items() if not op.startswith("function/")}
    assert graph == {"Const": 1, "NoOp": 1, "PartitionedCall": 1, "Placeholder": 3, "StatefulPartitionedCall": 2}
    assert signature.layers["function/AddV2"] == 5


def test_pmml() -> None:
    signature = read(DATA / "pmml" / "model")
    assert [(t.name, t.dtype) for t in signature.inputs] == [
        ("displ", "double"), ("year", "double"), ("cyl", "double"), ("class", "string")
    ]  # fmt: skip
    assert signature.outputs[0] == Tensor("drv", None, "string", "categorical", ("4", "f", "r"))
    assert [t.name for t in signature.outputs[1:]] == ["probability(4)", "probability(f)", "probability(r)"]
    assert signature.layers == {"NaiveBayesModel": 1}


def test_onnx_shapes_that_are_not_fixed(tmp_path: Path) -> None:
    inputs = [
        helper.make_tensor_value_info("symbolic", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("scalar", TensorProto.INT64, []),
        helper.make_tensor_value_info("unranked", TensorProto.STRING, None),
    ]
    save_onnx(tmp_path, inputs, [helper.make_node("Identity", ["symbolic"], ["y"])])
    signature = read(tmp_path)
    assert signature.inputs == (
        Tensor("symbolic", (-1, 3), "float32"),
        Tensor("scalar", (), "int64"),
        Tensor("unranked", None, "string"),
    )
    assert "size" not in signature.to_json()["inputs"][2]


def test_onnx_types_that_are_no_tensor_are_written_out(tmp_path: Path) -> None:
    element = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    value = helper.make_value_info("zipmap", helper.make_sequence_type_proto(element))
    save_onnx(tmp_path, [value], [helper.make_node("Identity", ["zipmap"], ["y"])])
    assert read(tmp_path).inputs[0].dtype == "sequence(map(int64,float32))"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds nothing"),
        ({"a.txt": b""}, "fits no format (it holds a.txt)"),
        ({"a.onnx": b"", "b.pt": b""}, "fits ONNX and TorchScript"),
        ({"a.onnx": b"\xff\xff"}, "a.onnx is not an ONNX model: .*; copy it again, check it with onnx.checker"),
        ({"a.onnx": b""}, "holds no graph; copy it again"),
        ({"a.pmml": b"<PMML"}, "a.pmml is not PMML"),
        ({"a.pmml": b"<html/>"}, "its root element is html"),
        ({"a.pmml": b'<!DOCTYPE x [<!ENTITY a "aa">]><PMML>&a;</PMML>'}, "a.pmml is not PMML"),
        ({"a.pmml": b'<?xml version="1.0" encoding="nonsense"?><PMML/>'}, "a.pmml is not PMML: unknown encoding"),
        ({"saved_model.pb": b"\xff"}, "saved_model.pb is not a SavedModel"),
        ({"saved_model.pb": b""}, "no graph tagged serve"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidError, match=said.replace("(", r"\(").replace(")", r"\)")):
        read(tmp_path)


@pytest.mark.parametrize("name", [b"INPUT", b"Identity"])
def test_a_name_in_a_graph_that_is_no_text_is_said(tmp_path: Path, name: bytes) -> None:
    value = helper.make_tensor_value_info("INPUT", TensorProto.FLOAT, [1])
    save_onnx(tmp_path, [value], [helper.make_node("Identity", ["x"], ["y"])])
    content = (tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(content.replace(name, b"\xfe" * len(name)))
    with pytest.raises(InvalidError, match="a name is not UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["onnx", "pmml", "savedmodel"])
def test_what_an_archiver_left_beside_a_model_is_not_read(tmp_path: Path, name: str) -> None:
    shutil.copytree(DATA / name / "model", tmp_path / "model")
    for file in list((tmp_path / "model").iterdir()):
        (tmp_path / "model" / f"._{file.name}").write_bytes(b"\0\5\x16\7Mac OS X")
    assert read(tmp_path / "model") == read(DATA / name / "model")


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "init_net.pb").touch()
    with pytest.raises(InvalidError, match=r"predict_net\.pb is missing"):
        formats.check_layout("NetDef", tmp_path)


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"'onnx' is no known format; there are: SavedModel, ONNX"):
        formats.check_layout("onnx", tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").symlink_to(DATA / "onnx" / "model" / "model.onnx")
    with pytest.raises(InvalidError, match="must be a regular file"):
        read(tmp_path)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["onnx", "savedmodel", "pmml"]), st.integers(0), st.binary(min_size=1, max_size=8), st.booleans()
)
def test_damaged_files_never_crash(
    tmp_path_factory: pytest.TempPathFactory, name: str, at: int, noise: bytes, cut: bool
) -> None:
    source = next(p for p in (DATA / name / "model").iterdir() if p.is_file())
    content = source.read_bytes()
    at %= len(content)
    directory = tmp_path_factory.mktemp("damaged")
    (directory / source.name).write_bytes(content[:at] if cut else content[:at] + noise + content[at + len(noise) :])
    with suppress(InvalidError):
        read(directory)
