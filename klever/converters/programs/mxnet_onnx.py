"""Converts MXNet's symbol and parameters to ONNX, with the operators of the public model zoo (mxnet 1.x)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.graph import Graph
from klever.converters.programs.mxnet_operators import OPERATORS, Node
from klever.converters.programs.mxnet_params import read_params
from klever.converters.programs.tensors import given

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    symbol = json.loads(next(model.glob("*symbol.json")).read_bytes())
    params = read_params(next(model.glob("*.params")))
    nodes: list[dict[str, Any]] = symbol["nodes"]
    labels = {source[0] for node in nodes if node["op"].endswith("Output") for source in node["inputs"][1:2]}
    free = [
        node["name"]
        for index, node in enumerate(nodes)
        if node["op"] == "null" and node["name"] not in params and index not in labels
    ]
    graph = Graph(model.name, given(free, request))
    values: list[list[str]] = []
    for node in nodes:
        if node["op"] == "null":
            named = node["name"]
            values.append([graph.constant(params[named], named) if named in params else named])
        else:
            values.append(_add(graph, node, [values[i][n] for i, n, *_ in node["inputs"]], params))
    graph.save(output / "model.onnx", {_name(nodes[i], n): values[i][n] for i, n, *_ in symbol["heads"]})


def _add(graph: Graph, node: Mapping[str, Any], inputs: Sequence[str], params: Mapping[str, Any]) -> list[str]:
    op, name = node["op"], node["name"]
    if op not in OPERATORS:
        raise ConversionError(f"the operator {op} of node {name!r} is not supported")
    attributes = node.get("attrs") or node.get("attr") or node.get("param") or {}
    return OPERATORS[op](Node(graph, op, name, attributes, inputs, params))


def _name(node: Mapping[str, Any], index: int) -> str:
    """Return MXNet's name of an output: that of a variable, or that of an operator with its number."""
    return str(node["name"]) if node["op"] == "null" else f"{node['name']}_output{index or ''}"
