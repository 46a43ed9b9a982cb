"""Converts MXNet's symbol and parameters to ONNX, with the operators of the public model zoo (mxnet 1.x)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.files import only_match
from klever.converters.programs.graph import Graph
from klever.converters.programs.mxnet_operators import OPERATORS, Node
from klever.converters.programs.mxnet_params import read_params
from klever.converters.programs.tensors import given

__all__ = ["convert"]

_SYMBOL_BYTES: Final = 16 << 20


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    path = only_match(model, "*symbol.json", _SYMBOL_BYTES)
    params = read_params(only_match(model, "*.params", sys.maxsize))
    try:
        _convert(json.loads(path.read_bytes()), params, model.name, output, request)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ConversionError(f"{path.name} is not a symbol of MXNet: {type(error).__name__}: {error}") from error


def _convert(
    symbol: Mapping[str, Any], params: Mapping[str, Any], name: str, output: Path, request: Mapping[str, Any]
) -> None:
    nodes: list[dict[str, Any]] = symbol["nodes"]
    labels = {source[0] for node in nodes if node["op"].endswith("Output") for source in node["inputs"][1:2]}
    free = [
        node["name"]
        for index, node in enumerate(nodes)
        if node["op"] == "null" and node["name"] not in params and index not in labels
    ]
    graph = Graph(name, given(free, request))
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
