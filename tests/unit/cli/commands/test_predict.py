"""Examples that `klever predict` makes from what a model says of itself."""

from __future__ import annotations

import json

import pytest

from klever.cli.commands.examples import requests_to
from klever.errors import InvalidError


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
