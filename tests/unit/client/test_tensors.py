"""What `predict` sends and returns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from klever.client import json_tensors, tensors
from klever.errors import InvalidError, UnavailableError
from tests.errors import because

ModelMetadata = service_pb2.ModelMetadataResponse.TensorMetadata


def described(datatype: str, *shape: int, name: str = "x") -> Any:
    return ModelMetadata(name=name, datatype=datatype, shape=shape)


def through_protobuf(array: tensors.Array, tensor: Any) -> tensors.Prediction:
    """Return what a server that sends back its input would answer."""
    request = tensors.to_request("m", {tensor.name: array}, [tensor])
    response = service_pb2.ModelInferResponse(raw_output_contents=request.raw_input_contents)
    for sent in request.inputs:
        response.outputs.add(name=sent.name, datatype=sent.datatype, shape=sent.shape)
    return tensors.to_prediction(response)


def through_json(array: tensors.Array, tensor: Any) -> tensors.Prediction:
    body = json.loads(json_tensors.to_body({tensor.name: array}, [tensor]))
    return json_tensors.from_response(json.dumps({"outputs": body["inputs"]}))


@pytest.mark.parametrize("through", [through_protobuf, through_json])
@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("BOOL", [[True, False]]),
        ("INT8", [[-128, 127]]),
        ("UINT64", np.array([[2**64 - 1, 0]], np.uint64)),
        ("FP16", [[0.5, -1.0]]),
        ("BF16", [[0.5, -1.0]]),
        ("FP32", [[0.1, -1.0]]),
        ("FP64", [[0.1, -1.0]]),
        ("BYTES", [["grün", b"b"]]),
        ("BYTES", [[b"\0", b"a\0"]]),
        ("BYTES", [[]]),
    ],
)
def test_a_value_arrives_as_an_array_of_the_models_type(through: Any, datatype: str, value: Any) -> None:
    tensor = described(datatype, -1, 2)
    array = tensors.to_inputs({"x": value}, [tensor])["x"]
    returned = through(array, tensor).array
    assert returned.shape == np.shape(value)
    expected = [[v.encode() if isinstance(v, str) else v for v in row] for row in value]
    assert returned.tolist() == (expected if datatype == "BYTES" else np.array(value, array.dtype).tolist())


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        (1.5, (-1, 1), (1, 1)),
        ([1, 2], (-1, 2), (1, 2)),
        ([[1, 2]], (-1, 2), (1, 2)),
        ([1, 2], (-1,), (2,)),
        (1, (), ()),
    ],
)
def test_dimensions_that_a_value_lacks_are_added_in_front(
    value: Any, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert tensors.to_inputs({"x": value}, [described("FP32", *shape)])["x"].shape == expected


def test_the_only_input_needs_no_name() -> None:
    assert tensors.to_inputs(np.ones((1, 2)), [described("FP32", -1, 2)])["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        ({"y": 1}, [described("FP32", 1)]),  # an unknown name
        (1, [described("FP32", 1), described("FP32", 1, name="y")]),  # which of the two
        ({"x": "text"}, [described("FP32", 1)]),
        ({"x": 0.5}, [described("INT32", 1)]),
        ({"x": 300}, [described("INT8", 1)]),
        ({"x": -1}, [described("UINT8", 1)]),
        ({"x": [[1], [2, 3]]}, [described("FP32", 1)]),  # rows of several lengths
        ({"x": 1}, [described("COMPLEX", 1)]),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value: Any, inputs: list[Any]) -> None:
    with pytest.raises(InvalidError, check=because("INVALID")):
        tensors.to_inputs(value, inputs)


def test_a_prediction_is_a_mapping_in_the_order_of_the_model() -> None:
    outputs = {"label": np.array([1]), "probabilities": np.array([0.5])}
    prediction = tensors.Prediction(outputs, "m", "1")
    assert list(prediction) == ["label", "probabilities"]
    assert prediction["label"] == 1
    with pytest.raises(InvalidError):
        _ = prediction.array


def test_typed_values_of_a_server_become_an_array() -> None:
    contents = service_pb2.InferTensorContents(fp32_contents=[1.5, 2.5])
    response = service_pb2.ModelInferResponse()
    response.outputs.add(name="y", datatype="FP32", shape=[1, 2], contents=contents)
    assert tensors.to_prediction(response).array.tolist() == [[1.5, 2.5]]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"outputs": [{"name": "y"}]}', '{"outputs": 1}'])
def test_a_response_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(UnavailableError):
        json_tensors.from_response(text)
    with pytest.raises(UnavailableError):
        json_tensors.from_metadata(text)
