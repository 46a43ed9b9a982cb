"""What models say about themselves beside their signatures."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from klever import formats
from klever.errors import InvalidError
from klever.formats import Details, Signature
from klever.formats.checkpoint import count_variables
from klever.formats.torch_storages import count_storages
from klever.formats.weights import Weights
from tests.unit.formats.test_hostile_models import entry, f, saved, signature, varint

DATA = Path(__file__).parents[2] / "data"


def read(directory: Path) -> Signature:
    return formats.get(formats.detect(directory)).read_signature(directory)


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("onnx", Details("opset 9, IR 6", "onnx-examples", 0, 0)),
        ("savedmodel", Details("schema 1", "TensorFlow 1.15.3", 0, 0)),
        ("graphdef", Details("graph version 134", "", 0, 0)),
        ("mxnetparams", Details("", "MXNet 1.6.0", 0, 0)),
        ("netdef", Details("", "", 0, 0)),
        ("torchscript", Details("file format 3", "", 0, 0)),
        ("pmml", Details("PMML 4.3", "JPMML-SkLearn 1.5.35", classes=("4", "f", "r"))),
    ],
)
def test_small_models(name: str, details: Details) -> None:
    assert read(DATA / name / "model").details == details


def test_onnx_counts_weights_and_names_classes(tmp_path: Path) -> None:
    zip_map = helper.make_node("ZipMap", ["p"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, -1, 7])
    classifier = helper.make_node("LinearClassifier", ["x"], ["l", "p"], domain="ai.onnx.ml", classlabels_ints=[3])
    weights = [
        numpy_helper.from_array(np.zeros((3, 5), np.float16), "w"),
        helper.make_tensor("four", TensorProto.INT4, (3,), [1, 2, 3]),
    ]
    graph = helper.make_graph([zip_map, classifier], "g", [], [helper.make_tensor_value_info("y", 1, None)], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="skl2onnx", producer_version="1.2")
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "m.onnx"))
    assert read(tmp_path).details == Details(
        "opset 17, ai.onnx.ml 3, IR 8", "skl2onnx 1.2", 18, 32, classes=("0", "-1", "7")
    )


def test_graphdef_counts_constants_but_not_shapes(tmp_path: Path) -> None:
    def constant(dtype: int, *dims: int) -> bytes:
        tensor = f(1, dtype) + f(2, b"".join(f(2, f(1, dim)) for dim in dims))
        return f(1, f(1, "c") + f(2, "Const") + f(5, f(1, "value") + f(2, f(8, tensor))))

    placeholder = f(1, f(1, "x") + f(2, "Placeholder"))
    (tmp_path / "m.graphdef").write_bytes(
        placeholder + constant(1, 3, 4) + constant(19) + constant(3, 9) + f(4, f(1, 27))
    )
    assert read(tmp_path).details == Details("graph version 27", "", 13, 50)


def table(*entries: tuple[bytes, bytes]) -> bytes:
    """An index of variables: one block of entries, none of which shares its key's beginning."""

    def block(*items: tuple[bytes, bytes]) -> bytes:
        rows = b"".join(b"\0" + varint(len(k)) + varint(len(v)) + k + v for k, v in items)
        return rows + struct.pack("<II", 0, 1)

    data = block(*entries)
    index = block((b"z", varint(0) + varint(len(data))))
    footer = varint(0) + varint(0) + varint(len(data) + 5) + varint(len(index))
    return data + bytes(5) + index + bytes(5) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def variable(dtype: int, *dims: int, size: int) -> bytes:
    return f(1, dtype) + f(2, b"".join(f(2, f(1, dim)) for dim in dims)) + f(5, size)


VARIABLES = table(
    (b"", f(1, 1)),
    (b"dense/kernel/.ATTRIBUTES/VARIABLE_VALUE", variable(1, 3, 4, size=48)),
    (b"dense/kernel/.OPTIMIZER_SLOT/adam/m", variable(1, 3, 4, size=48)),
    (b"half", variable(19, 5, size=10)),
    (b"names", variable(7, 2, size=20)),
    (b"save_counter", variable(9, size=8)),
)


def test_savedmodel_counts_variables_without_the_state_of_an_optimizer(tmp_path: Path) -> None:
    info = f(1, f(4, "serve") + f(5, "2.21.0"))
    (tmp_path / "saved_model.pb").write_bytes(f(1, 1) + f(2, info + signature(entry("x"))))
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").write_bytes(VARIABLES)
    assert read(tmp_path).details == Details("schema 1", "TensorFlow 2.21.0", 17, 58)


@pytest.mark.parametrize("at", [0, 5, 40, len(VARIABLES) // 2, len(VARIABLES) - 49, len(VARIABLES) - 1])
def test_a_damaged_index_of_variables_is_named(tmp_path: Path, at: int) -> None:
    (tmp_path / "saved_model.pb").write_bytes(saved(signature(entry("x"))))
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").write_bytes(VARIABLES[:at])
    with pytest.raises(InvalidError, match=r"variables/variables\.index"):
        read(tmp_path)


@pytest.mark.parametrize("at", range(len(VARIABLES)))
def test_damage_in_an_index_of_variables_is_an_invalid_model(at: int) -> None:
    damaged = VARIABLES[:at] + b"\xff" + VARIABLES[at + 1 :]
    try:
        count_variables(memoryview(damaged))
    except InvalidError:
        return


def test_a_saved_model_without_serving_default_has_its_first_signature_read(tmp_path: Path) -> None:
    signatures = [
        signature(entry("init"), name="__saved_model_init_op"),
        signature(entry("b"), name="regress"),
        signature(entry("a"), name="classify"),
    ]
    (tmp_path / "saved_model.pb").write_bytes(saved(*signatures))
    found = read(tmp_path)
    assert [tensor.name for tensor in found.inputs] == ["a"]
    (warning,) = found.details.warnings
    assert "classify" in warning
    assert "regress" in warning
    (tmp_path / "saved_model.pb").write_bytes(saved(*signatures, signature(entry("x"))))
    found = read(tmp_path)
    assert ([tensor.name for tensor in found.inputs], found.details.warnings) == (["x"], ())


def test_mxnet_counts_arrays(tmp_path: Path) -> None:
    (tmp_path / "m-symbol.json").write_text(json.dumps({"nodes": [], "heads": []}))
    array = struct.pack("<IiiqqiiI", 0xF993FAC9, 0, 2, 2, 3, 1, 0, 2) + bytes(12)
    name = struct.pack("<Q", 1) + b"w"
    (tmp_path / "m.params").write_bytes(struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<Q", 1) + name)
    assert read(tmp_path).details == Details("", "", 6, 12)


def test_netdef_counts_floats_that_are_fields_of_their_own(tmp_path: Path) -> None:
    """Caffe2 writes them so. A net of more than three million weights was refused."""
    floats = (b"\x2d" + bytes(4)) * 4_000_000
    fill = f(2, "w") + f(4, "GivenTensorFill") + f(5, f(1, "values") + floats)
    (tmp_path / "init_net.pb").write_bytes(f(2, fill))
    (tmp_path / "predict_net.pb").write_bytes(f(2, f(4, "FC")))
    assert read(tmp_path).details == Details("", "", 4_000_000, 16_000_000)


def test_netdef_counts_what_init_net_fills(tmp_path: Path) -> None:
    shape = f(5, f(1, "shape") + f(6, 2) + f(6, 3))
    fill = f(2, "w") + f(4, "GivenTensorFill") + shape + f(5, f(1, "values") + f(5, bytes(24)))
    (tmp_path / "init_net.pb").write_bytes(f(2, fill))
    (tmp_path / "predict_net.pb").write_bytes(f(2, f(4, "FC")))
    assert read(tmp_path).details == Details("", "", 6, 24)


def storage(kind: bytes, key: bytes, elements: int) -> bytes:
    """A storage as Pickler::pushStorageOfTensor writes it."""

    def unicode(text: bytes) -> bytes:
        return b"X" + struct.pack("<I", len(text)) + text

    return (
        b"(" + unicode(b"storage") + kind + unicode(key) + unicode(b"cpu") + b"J" + struct.pack("<i", elements) + b"tQ"
    )


def test_torchscript_counts_each_storage_once() -> None:
    content = b"\x80\x02" + storage(b"ctorch\nFloatStorage\nq\x05", b"0", 10) + storage(b"h\x05", b"1", 5)
    content += storage(b"h\x05", b"1", 5) + storage(b"ctorch\nHalfStorage\nq\x06", b"2", 3) + b"."
    assert count_storages(content) == Weights(18, 66)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02", b"\x80\x02Q.", b"\x80\x02h\x01Q.", b"\xff", pickle.dumps([1] * 9)]
)
def test_a_damaged_pickle_of_torchscript_has_no_storages(content: bytes) -> None:
    try:
        assert count_storages(content) == Weights()
    except InvalidError:
        return


def test_torchscript_gives_its_file_format(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02c__torch__\nNet\nq\x00.")
        archive.writestr("m/code/__torch__.py", "class Net(Module):\n")
        archive.writestr("m/.data/version", "6\n")
    assert read(tmp_path).details == Details("file format 6", "", 0, 0)


def test_a_pmml_regression_has_no_classes_and_invalid_values_are_none(tmp_path: Path) -> None:
    def write(function: str) -> None:
        (tmp_path / "m.pmml").write_text(
            f"""<PMML version="3.2"><Header><Application name="R"/></Header><DataDictionary>
            <DataField name="y" optype="categorical" dataType="string"><Value value="a"/>
            <Value value="?" property="missing"/></DataField></DataDictionary>
            <TreeModel functionName="{function}"><MiningSchema><MiningField name="y" usageType="predicted"/>
            </MiningSchema></TreeModel></PMML>"""
        )

    write("classification")
    assert read(tmp_path).details == Details("PMML 3.2", "R", classes=("a",))
    write("regression")
    assert read(tmp_path).details == Details("PMML 3.2", "R")
