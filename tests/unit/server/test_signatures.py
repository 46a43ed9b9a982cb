"""Signatures as messages of the API."""

from __future__ import annotations

from klever.api.codec import to_object
from klever.formats import Details, LanguageModel, Signature, Tensor
from klever.server.signatures import signature_message


def test_every_field_reaches_the_message() -> None:
    signature = Signature(
        (Tensor("x", (-1, 3), "float32", "continuous", ("1",)), Tensor("s", ())),
        (Tensor("y", None, "int64"),),
        {"Add": 1},
        Details(
            format_version="opset 17",
            producer="pytorch 2.1",
            parameters=0,
            parameter_bytes=1 << 40,
            memory_bytes=5,
            classes=("a", "b"),
            language_model=LanguageModel("llama", "Q4_K_M", 8192, "{{ messages }}"),
            warnings=("w",),
            feature_names=("f",),
        ),
    )
    message = signature_message(signature)
    assert message is not None
    assert (message.inputs[1].HasField("shape"), message.outputs[0].HasField("shape")) == (True, False)
    assert to_object(message) == {
        "inputs": [
            {
                "name": "x", "shape": {"dims": [-1, 3]}, "datatype": "FP32", "dtype": "float32",
                "opType": "continuous", "values": ["1"],
            },
            {"name": "s", "shape": {}},
        ],
        "outputs": [{"name": "y", "datatype": "INT64", "dtype": "int64"}],
        "layers": {"Add": 1},
        "details": {
            "formatVersion": "opset 17",
            "producer": "pytorch 2.1",
            "parameters": 0,
            "parameterBytes": 1 << 40,
            "memoryBytes": 5,
            "classes": ["a", "b"],
            "languageModel": {
                "architecture": "llama", "quantization": "Q4_K_M", "contextLength": 8192,
                "chatTemplate": "{{ messages }}",
            },
            "warnings": ["w"],
            "featureNames": ["f"],
        },
    }  # fmt: skip


def test_unknown_fields_are_absent() -> None:
    message = signature_message(Signature())
    assert message is not None
    assert to_object(message) == {}
    assert signature_message(None) is None
