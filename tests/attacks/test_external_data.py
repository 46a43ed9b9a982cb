"""ONNX models whose weights are said to be in files of the machine."""

from __future__ import annotations

import uuid

import pytest
from onnx import TensorProto, helper

from tests.attacks.pushing import pack_layer, push
from tests.attacks.serving import deploy, failure
from tests.e2e.platform import Platform


def model(location: str) -> bytes:
    """A model that adds a weight from that file, and so would give back what the file holds."""
    weight = TensorProto(name="secret_weight", data_type=TensorProto.UINT8, dims=[16])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    x, y = (helper.make_tensor_value_info(name, TensorProto.UINT8, [16]) for name in "XY")
    nodes = [helper.make_node("BitwiseOr", ["X", "secret_weight"], ["Y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], initializer=[weight])
    return bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize(
    "location", ["../../../../etc/passwd", "/etc/passwd", "..\\passwd", "w\0.bin", "missing.bin", "*/_ORT_MEM_ADDR_/*"]
)
def test_a_model_with_its_weights_elsewhere_fails(shared_platform: Platform, location: str) -> None:
    repository = f"external/m{uuid.uuid4().hex[:10]}"
    reference = push(shared_platform, repository, {"format": "ONNX"}, pack_layer({"m.onnx": model(location)}))
    assert "'secret_weight'" in failure(shared_platform, deploy(shared_platform, reference))
