"""Signatures of real models, and of broken ones."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from klever import formats
from klever.errors import InvalidError
from klever.formats import NO_DETAILS, Signature, Tensor
from tests.unit.formats.test_hostile_models import f

DATA = Path(__file__).parents[2] / "data"


def read(directory: Path) -> Signature:
    return formats.get(formats.detect(directory)).read_signature(directory)


def plain(signature: Signature) -> Signature:
    return replace(signature, details=NO_DETAILS)


def save_onnx(directory: Path, inputs: list[onnx.ValueInfoProto], nodes: list[onnx.NodeProto]) -> None:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", inputs, [output])), str(directory / "m.onnx"))


def test_onnx() -> None:
    assert plain(read(DATA / "onnx" / "model")) == Signature(
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


def test_onnx_shapes_of_outputs_follow_from_the_operators(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])]
    transpose = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    save_onnx(tmp_path, inputs, [transpose])
    assert read(tmp_path).outputs == (Tensor("y", (3, -1), "float32"),)
    save_onnx(tmp_path, inputs, [helper.make_node("Odd", ["x"], ["y"], domain="org.example")])
    assert read(tmp_path).outputs == (Tensor("y", None, "float32"),)


def test_onnx_types_that_are_no_tensor_are_written_out(tmp_path: Path) -> None:
    element = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    value = helper.make_value_info("zipmap", helper.make_sequence_type_proto(element))
    save_onnx(tmp_path, [value], [helper.make_node("Identity", ["zipmap"], ["y"])])
    assert read(tmp_path).inputs[0].dtype == "sequence(map(int64,float32))"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "contains nothing"),
        ({"a.txt": b""}, "fits no format (it contains a.txt)"),
        ({"a.onnx": b"", "b.pt": b""}, "fits ONNX and TorchScript"),
        ({"a.onnx": b"\xff\xff"}, "a.onnx is not an ONNX model: .*; copy it again, check it with onnx.checker"),
        ({"a.onnx": b""}, "must contain a graph; copy it again"),
        ({"a.pmml": b"<PMML"}, "a.pmml is not PMML"),
        ({"a.pmml": b"<html/>"}, "its root element must be PMML, not html"),
        ({"a.pmml": b'<!DOCTYPE x [<!ENTITY a "aa">]><PMML>&a;</PMML>'}, "a.pmml is not PMML"),
        ({"a.pmml": b'<?xml version="1.0" encoding="nonsense"?><PMML/>'}, "a.pmml is not PMML: unknown encoding"),
        ({"saved_model.pb": b"\xff"}, "saved_model.pb is not a SavedModel"),
        ({"saved_model.pb": b""}, "must have a graph tagged serve"),
    ],
)
def test_unreadable_models_are_refused(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
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
    with pytest.raises(InvalidError, match="a name must be UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["onnx", "pmml", "savedmodel"])
def test_files_of_archivers_are_ignored(tmp_path: Path, name: str) -> None:
    shutil.copytree(DATA / name / "model", tmp_path / "model")
    for file in list((tmp_path / "model").iterdir()):
        (tmp_path / "model" / f"._{file.name}").write_bytes(b"\0\5\x16\7Mac OS X")
    assert read(tmp_path / "model") == read(DATA / name / "model")


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "init_net.pb").touch()
    with pytest.raises(InvalidError, match=r"predict_net\.pb is missing"):
        formats.check_layout("NetDef", tmp_path)


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"unknown format 'onnx': must be one of SavedModel, ONNX"):
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


def test_graphdef() -> None:
    assert plain(read(DATA / "graphdef" / "model")) == Signature(
        inputs=(
            Tensor("some_namespace/in_x", None, "float32"),
            Tensor("some_namespace/in_y", None, "float32"),
        ),
        outputs=(Tensor("some_namespace/out", None, "float32"),),
        layers={"Add": 1, "Placeholder": 2},
    )


def test_netdef() -> None:
    assert plain(read(DATA / "netdef" / "model")) == Signature(
        inputs=(Tensor("X", None, "float32"), Tensor("Y", None, "float32")),
        outputs=(Tensor("Z"),),
        layers={"Add": 1},
    )


def test_mxnet() -> None:
    assert plain(read(DATA / "mxnetparams" / "model")) == Signature(
        inputs=(Tensor("data0", None, "float32"), Tensor("data1", None, "float32")),
        outputs=(Tensor("additionmodel_m0__plus0_output"),),
        layers={"elemwise_add": 1},
    )


def test_netdef_inputs_are_what_init_net_does_not_fill_with_weights(tmp_path: Path) -> None:
    """`w` has three values, `data` is a constant of a known shape, and nothing fills `free`."""
    weight = f(2, "w") + f(4, "GivenTensorFill") + f(5, f(1, "values") + f(5, bytes(12)))
    data = (
        f(2, "data") + f(4, "ConstantFill") + f(5, f(1, "shape") + f(6, 1) + f(6, 3)) + f(5, f(1, "dtype") + f(3, 10))
    )
    (tmp_path / "init_net.pb").write_bytes(f(2, weight) + f(2, data))
    net = f(2, f(4, "FC")) + f(7, "data") + f(7, "w") + f(8, "y")
    (tmp_path / "predict_net.pb").write_bytes(net)
    assert read(tmp_path).inputs == (Tensor("data", (1, 3), "int64"),)
    (tmp_path / "predict_net.pb").write_bytes(net + f(7, "free"))
    assert read(tmp_path).inputs == (Tensor("free"),)


def test_graphdef_types_and_shapes_of_outputs(tmp_path: Path) -> None:
    def attribute(key: str, value: bytes) -> bytes:
        return f(5, f(1, key) + f(2, value))

    placeholder = f(1, "x") + f(2, "Placeholder") + attribute("dtype", f(6, 9))
    placeholder += attribute("shape", f(7, f(2, f(1, (1 << 64) - 1)) + f(2, f(1, 3))))
    less = f(1, "small") + f(2, "Less") + f(3, "x:0") + attribute("T", f(6, 9))
    cast = (
        f(1, "y") + f(2, "Cast") + f(3, "x") + f(3, "^small") + attribute("SrcT", f(6, 9)) + attribute("DstT", f(6, 1))
    )
    cast += attribute("_output_shapes", f(1, f(7, f(2, f(1, 2)))))
    last = f(1, "flags") + f(2, "Greater") + f(3, "x") + attribute("T", f(6, 9))
    (tmp_path / "m.graphdef").write_bytes(b"".join(f(1, node) for node in (placeholder, less, cast, last)))
    signature = read(tmp_path)
    assert signature.inputs == (Tensor("x", (-1, 3), "int64"),)
    assert signature.outputs == (Tensor("y", (2,), "float32"), Tensor("flags", None, "bool"))


def mxnet(directory: Path, nodes: list[dict[str, object]], heads: list[list[int]], *names: str) -> None:
    """Write a model whose parameters are arrays of two float32 by these names."""
    (directory / "m-symbol.json").write_text(json.dumps({"nodes": nodes, "heads": heads}))
    array = struct.pack("<IiiqiiI", 0xF993FAC9, 0, 1, 2, 1, 0, 0) + bytes(8)
    listed = b"".join(struct.pack("<Q", len(name)) + name.encode() for name in names)
    count = struct.pack("<Q", len(names))
    (directory / "m-0000.params").write_bytes(
        struct.pack("<QQ", 0x112, 0) + count + array * len(names) + count + listed
    )


def test_mxnet_parameters_and_labels_are_not_inputs(tmp_path: Path) -> None:
    nodes: list[dict[str, object]] = [
        {"op": "null", "name": "data", "attrs": {"__shape__": "(0, 3)", "__dtype__": "4"}, "inputs": []},
        {"op": "null", "name": "fc_weight", "inputs": []},
        {"op": "FullyConnected", "name": "fc", "inputs": [[0, 0, 0], [1, 0, 0]]},
        {"op": "null", "name": "softmax_label", "inputs": []},
        {"op": "SoftmaxOutput", "name": "softmax", "inputs": [[2, 0, 0], [3, 0, 0]]},
    ]
    mxnet(tmp_path, nodes, [[4, 0, 0]], "arg:fc_weight")
    assert plain(read(tmp_path)) == Signature(
        inputs=(Tensor("data", (-1, 3), "int32"),),
        outputs=(Tensor("softmax_output"),),
        layers={"FullyConnected": 1, "SoftmaxOutput": 1},
    )


def test_mxnet_errors_name_the_file(tmp_path: Path) -> None:
    mxnet(tmp_path, [{"op": "null", "name": "data", "inputs": []}], [[0, 0, 0]], "arg:w")
    whole = (tmp_path / "m-0000.params").read_bytes()
    (tmp_path / "m-0000.params").write_bytes(whole[:40])
    with pytest.raises(InvalidError, match=r"m-0000\.params"):
        read(tmp_path)
    (tmp_path / "m-0000.params").write_bytes(whole)
    (tmp_path / "m-symbol.json").write_text('{"nodes": [{"op": "null"}]}')
    with pytest.raises(InvalidError, match=r"m-symbol\.json"):
        read(tmp_path)


def test_torchscript() -> None:
    """The file has neither types of elements nor shapes."""
    assert plain(read(DATA / "torchscript" / "model")) == Signature(
        inputs=(Tensor("x"), Tensor("y")), outputs=(Tensor("out"),), layers={"aten::add": 1}
    )


def torchscript(directory: Path, code: str, module: str = "__torch__.zoo.net", **more: str) -> None:
    with zipfile.ZipFile(directory / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02c" + module.encode() + b"\nNet\nq\x00.")
        archive.writestr(f"m/code/{module.replace('.', '/')}.py", code)
        for name, text in more.items():
            archive.writestr(f"m/code/__torch__/{name}.py", text)


def test_torchscript_arguments_and_results(tmp_path: Path) -> None:
    code = """\
class Other(Module):
  def forward(self: __torch__.zoo.net.Other, wrong: Tensor) -> Tensor:
    return wrong
class Net(Module):
  __parameters__ = ["w", ]
  conv : __torch__.layers.Conv
  def forward(self: __torch__.zoo.net.Net,
    x: Tensor,
    sizes: Tuple[int, int],
    scale: float=1.5) -> Tuple[Tensor, List[Tensor]]:
    y = torch.conv2d((self.conv).forward(x, ), w, None, [1, 1], [0, 0])
    z = ops.quantized.add(y, y, 1., 0)
    return (torch.relu(__torch__.torch.nn.functional.relu(y)), [z])
  def other(self: __torch__.zoo.net.Net) -> Dict[str, Tensor]:
    return {"no": w}
"""
    torchscript(
        tmp_path,
        code,
        layers="class Conv(Module):\n  def forward(self: X, x: Tensor) -> Tensor:\n    return torch.relu(x)\n",
    )
    assert plain(read(tmp_path)) == Signature(
        inputs=(Tensor("x"), Tensor("sizes", None, "Tuple[int, int]"), Tensor("scale", None, "float")),
        outputs=(Tensor("OUTPUT__0"), Tensor("OUTPUT__1", None, "List[Tensor]")),
        layers={"aten::conv2d": 1, "aten::relu": 2, "quantized::add": 1},
    )


def test_a_module_without_forward_has_no_arguments(tmp_path: Path) -> None:
    torchscript(tmp_path, "class Net(Module):\n  def infer(self: Net, x: Tensor) -> Tensor:\n    return torch.abs(x)\n")
    assert plain(read(tmp_path)) == Signature(layers={"aten::abs": 1})


def test_a_pickle_of_torch_save_is_not_torchscript(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02cbuiltins\neval\nq\x00.")
    with pytest.raises(InvalidError, match=r"m\.pt .*torch\.jit\.script"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(257) + b"ustar" + bytes(250), "tar archive"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "pickle"),
    ],
)
def test_older_files_of_pytorch_are_recognised_and_explained(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(InvalidError, match=rf"m\.pt is a {said}.*torch\.jit\.save"):
        read(tmp_path)


def keras(directory: Path, name: str) -> Signature:
    (directory / "m.h5").write_bytes(gzip.decompress((DATA / "keras" / f"{name}.h5.gz").read_bytes()))
    return read(directory)


WANTED = json.loads((DATA / "keras" / "wanted.json").read_text())


@pytest.mark.parametrize("name", WANTED)
def test_keras_gives_the_shapes_that_the_framework_gives(tmp_path: Path, name: str) -> None:
    """The files and the answers are those of hack/models/keras_h5.py; `unknown` ends in a layer without a rule."""
    signature = keras(tmp_path, name)
    found = [[t.name, t.dtype, [None if dim == -1 else dim for dim in t.size or ()]] for t in signature.inputs]
    assert found == WANTED[name]["inputs"]
    if name == "unknown":
        assert [(t.name, t.size) for t in signature.outputs] == [("product", None)]
    else:
        outputs = [[t.name, [None if dim == -1 else dim for dim in t.size or ()]] for t in signature.outputs]
        assert outputs == WANTED[name]["outputs"]


def test_h5() -> None:
    assert plain(read(DATA / "h5" / "model")) == Signature(
        inputs=(Tensor("x", (-1,), "float32"), Tensor("y", (-1,), "float32")),
        outputs=(Tensor("out", (-1,), "float32"),),
        layers={"Add": 1, "InputLayer": 2},
    )


def test_weights_alone_are_not_a_keras_model(tmp_path: Path) -> None:
    shutil.copy(DATA / "inspection" / "h5" / "weights.h5", tmp_path / "m.h5")
    with pytest.raises(InvalidError, match=r"m\.h5 .*model\.save"):
        read(tmp_path)
