"""Requests of `klever predict`: examples from what a model says of itself, and values by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from klever.cli.commands.examples import requests_to
from klever.cli.commands.values import arguments, tensors
from klever.errors import InvalidError
from tests.errors import because


def metadata(shape: str) -> str:
    return f'{{"inputs": [{{"name": "x", "datatype": "INT32", "shape": {shape}}}]}}'


def test_an_example_holds_zeros_and_dynamic_dimensions_are_1() -> None:
    assert json.loads(requests_to("triton", "x").example(metadata("[-1, 2]")))["inputs"][0]["data"] == [0, 0]


@pytest.mark.parametrize(
    "shape",
    ["[2147483648]", "[4294967296, 4294967296]", f"[{','.join(['2'] * 10_000)}]", "[1e999]", "[NaN]", '["9"]', "5"],
)
def test_a_shape_that_would_fill_the_memory_is_refused(shape: str) -> None:
    with pytest.raises(InvalidError):
        requests_to("triton", "x").example(metadata(shape))


def test_an_example_for_pmml_has_values_that_the_fields_allow() -> None:
    fields = [
        {"id": "size", "dataType": "double", "opType": "continuous", "values": ["[1.0,3.0]"]},
        {"id": "rooms", "dataType": "integer", "opType": "continuous"},
        {"id": "city", "dataType": "string", "opType": "categorical", "values": ["Zug", "Ulm"]},
    ]
    example = requests_to("openscoring", "flats").example(json.dumps({"schema": {"inputFields": fields}}))
    assert json.loads(example)["arguments"] == {"size": 2.0, "rooms": 0, "city": "Zug"}
    with pytest.raises(InvalidError, match="inputFields"):
        requests_to("openscoring", "flats").example("{}")


@pytest.mark.parametrize(
    ("value", "shape", "data"),
    [
        ([[1, 2], [3, 4]], [2, 2], [1, 2, 3, 4]),
        ([1, 2], [1, 2], [1, 2]),
        ([], [1, 0], []),
    ],
)
def test_values_by_name_are_tensors(value: Any, shape: list[int], data: list[int]) -> None:
    (tensor,) = json.loads(tensors(metadata("[-1, 2]"), {"x": value}))["inputs"]
    assert tensor == {"name": "x", "datatype": "INT32", "shape": shape, "data": data}


def test_a_scalar_is_a_vector_of_one_value() -> None:
    (tensor,) = json.loads(tensors(metadata("[1]"), {"x": 2}))["inputs"]
    assert (tensor["shape"], tensor["data"]) == ([1], [2])


@pytest.mark.parametrize("values", [{}, {"y": [1]}, {"x": [1], "y": [1]}, {"x": [[1, 2], [3]]}])
def test_values_that_do_not_fit_the_inputs_are_refused(values: Any) -> None:
    with pytest.raises(InvalidError, check=because("INVALID")):
        tensors(metadata("[-1, 2]"), values)


def test_values_for_pmml_are_arguments() -> None:
    schema = json.dumps({"schema": {"inputFields": [{"id": "age", "dataType": "double"}]}})
    assert json.loads(arguments(schema, {"age": 3}))["arguments"] == {"age": 3}
    with pytest.raises(InvalidError, check=because("INVALID")):
        arguments(schema, {"size": 3})
