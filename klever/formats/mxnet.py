"""MXNet: the variables and heads of *symbol.json, its operators, and the names in *.params.

The symbol is NNVM's JSON (src/pass/saveload_json.cc).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.files import any_match, only_match
from klever.formats.ndarrays import LIMIT, TYPES, read_parameters
from klever.formats.signature import Signature, Tensor
from klever.formats.weights import Weights

__all__ = ["read_signature"]

_SYMBOL_LIMIT: Final = 16 << 20
_PARAMETERS: Final = (
    "_weight", "_bias", "_gamma", "_beta", "_moving_mean", "_moving_var", "_running_mean", "_running_var", "_alpha",
)  # fmt: skip
"""Suffixes of MXNet's parameter names, which distinguish them from inputs if *.params is missing."""
_VERSION_PARTS: Final = (10_000, 100, 1)


def read_signature(model_dir: Path) -> Signature:
    """Read the signature: inputs are the variables without parameters, except the labels of a training loss."""
    symbol = only_match(model_dir, "*symbol.json", _SYMBOL_LIMIT)
    params = any_match(model_dir, "*.params", LIMIT)
    known, weights = read_parameters(params) if params else (None, Weights())
    try:
        document = json.loads(symbol.read_bytes())
        details = Details(producer=_producer(document))
        if params:
            details = replace(details, parameters=weights.parameters, parameter_bytes=weights.bytes)
        return _read(document, known, details)
    except InvalidError as error:
        raise InvalidError(f"{symbol.name} is not an MXNet symbol: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{symbol.name} is not valid JSON: {error}") from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidError(f"{symbol.name} is not an MXNet symbol: {type(error).__name__} {error}") from error


def _producer(symbol: Any) -> str:
    """Return the version of MXNet that wrote the symbol: 10600 is 1.6.0."""
    _, number = (symbol.get("attrs") or {}).get("mxnet_version") or ("int", 0)
    return "MXNet " + ".".join(str(int(number) // part % 100) for part in _VERSION_PARTS) if number else ""


def _read(symbol: Any, known: set[str] | None, details: Details) -> Signature:
    nodes = symbol["nodes"]
    labels = {str(nodes[source[0]]["name"]) for node in nodes for source in _label(node)}
    inputs = [
        _variable(node)
        for node in nodes
        if node["op"] == "null" and not _is_parameter(node["name"], known) and node["name"] not in labels
    ]
    layers = Counter(str(node["op"]) for node in nodes if node["op"] != "null")
    outputs = [_output(nodes[head[0]], int(head[1])) for head in symbol["heads"]]
    return Signature(tuple(inputs), tuple(outputs), dict(sorted(layers.items())), details)


def _is_parameter(name: str, known: set[str] | None) -> bool:
    return name.endswith(_PARAMETERS) if known is None else name in known


def _label(node: Any) -> list[list[int]]:
    """Return the sources of a loss's label: the second input of SoftmaxOutput and similar operators."""
    is_loss = str(node["op"]).endswith(("Output", "RegressionOutput")) and len(node["inputs"]) == 2
    return [node["inputs"][1]] if is_loss else []


def _variable(node: Any) -> Tensor:
    attributes = node.get("attrs") or node.get("attr") or node.get("param") or {}
    size = None
    if "__shape__" in attributes:
        dims = str(attributes["__shape__"]).strip("()[] ").split(",")
        size = tuple(int(dim) or -1 for dim in dims if dim.strip())
    flag = int(attributes.get("__dtype__", 0))
    return Tensor(str(node["name"]), size, TYPES[flag][0] if 0 <= flag < len(TYPES) else f"mxnet({flag})")


def _output(node: Any, index: int) -> Tensor:
    """Return MXNet's name of a head: a variable's name, or an operator's name and number."""
    if node["op"] == "null":
        return _variable(node)
    return Tensor(f"{node['name']}_output{index or ''}")
