"""Parts of models without their weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats import Tensor
from tests.unit.formats.test_hostile_models import f

DATA = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize(
    ("file", "name", "inputs"),
    [
        ("caffe/model/model.prototxt", "CaffeModel", ["X", "Y"]),
        ("netdef/model/predict_net.pb", "NetDef", ["X", "Y"]),
        ("mxnetparams/model/mxnet-symbol.json", "MXNetParams", ["data0", "data1"]),
        ("onnx/model/model.onnx", "ONNX", ["X", "Y"]),
        ("savedmodel/model/saved_model.pb", "SavedModel", ["x", "y"]),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_a_file_without_weights_is_read(tmp_path: Path, file: str, name: str, inputs: list[str], alone: bool) -> None:
    """As a file beside others, and alone in a model directory."""
    path = DATA / file
    if not alone:
        (tmp_path / path.name).write_bytes(path.read_bytes())
        path = tmp_path
    assert formats.detect(path, partial=True) == name
    found = formats.get(name).read_signature(path, partial=True)
    assert [tensor.name for tensor in found.inputs] == inputs
    has_weights = name in ("CaffeModel", "NetDef", "MXNetParams")
    assert [fault.partition(" is missing")[0] for fault in found.details.warnings] == (
        [] if not has_weights else [formats.get(name).weights[0]]
    )


def test_a_whole_model_needs_its_weights(tmp_path: Path) -> None:
    (tmp_path / "m.prototxt").write_bytes((DATA / "caffe" / "model" / "model.prototxt").read_bytes())
    with pytest.raises(InvalidError, match="fits no format"):
        formats.detect(tmp_path)
    with pytest.raises(InvalidError, match=r"\*\.caffemodel is missing"):
        formats.get("CaffeModel").read_signature(tmp_path)


def test_weights_alone_have_no_signature(tmp_path: Path) -> None:
    (tmp_path / "init_net.pb").write_bytes((DATA / "netdef" / "model" / "init_net.pb").read_bytes())
    with pytest.raises(InvalidError, match="fits no format"):
        formats.detect(tmp_path, partial=True)


def test_a_net_alone_tells_inputs_from_weights_by_their_operators(tmp_path: Path) -> None:
    conv = f(1, "data") + f(1, "w") + f(1, "b") + f(2, "y") + f(4, "Conv")
    (tmp_path / "predict_net.pb").write_bytes(f(2, conv) + f(7, "data") + f(7, "w") + f(7, "b") + f(8, "y"))
    found = formats.get("NetDef").read_signature(tmp_path, partial=True)
    assert found.inputs == (Tensor("data"),)


def test_a_symbol_alone_tells_inputs_from_weights_by_their_names(tmp_path: Path) -> None:
    nodes: list[object] = [
        {"op": "null", "name": name, "inputs": []} for name in ("data", "fc_weight", "fc_bias", "bn_moving_mean")
    ]
    (tmp_path / "a-symbol.json").write_text(json.dumps({"nodes": nodes, "heads": []}))
    found = formats.get("MXNetParams").read_signature(tmp_path, partial=True)
    assert [tensor.name for tensor in found.inputs] == ["data"]
    assert found.details.parameters is None
