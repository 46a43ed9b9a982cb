"""PMML (dmg.org, PMML 3.x-4.x): active and target fields, and the outputs that are computed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from klever.errors import InvalidError
from klever.formats.files import read_only_match
from klever.formats.signature import Signature, Tensor

__all__ = ["read_signature"]

_LIMIT = 512 << 20
_NO_MODELS = {"Header", "MiningBuildTask", "DataDictionary", "TransformationDictionary", "Extension"}


def read_signature(model_dir: Path) -> Signature:
    """Read it: inputs are the active mining fields, outputs the targets and the Output element's fields."""
    path, content = read_only_match(model_dir, "*.pmml", _LIMIT)
    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise InvalidError(f"{path.name} is no PMML: {error}") from error
    if _local(root) != "PMML":
        raise InvalidError(f"{path.name} is no PMML: its root element is {_local(root)}")
    model = next((e for e in root if _local(e) not in _NO_MODELS), None)
    if model is None:
        raise InvalidError(f"{path.name} holds no model element")
    fields = {t.name: t for t in map(_data_field, _children(root, "DataDictionary", "DataField"))}
    usage = [(f.get("name", ""), f.get("usageType", "active")) for f in _children(model, "MiningSchema", "MiningField")]
    inputs = tuple(fields.get(name, Tensor(name)) for name, kind in usage if kind == "active")
    targets = tuple(fields.get(name, Tensor(name)) for name, kind in usage if kind in ("target", "predicted"))
    outputs = tuple(map(_output_field, _children(model, "Output", "OutputField")))
    layers = Counter(_local(e) for e in root if _local(e) not in _NO_MODELS)
    return Signature(inputs, targets + outputs, dict(layers))


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(parent: Element, group: str, name: str) -> list[Element]:
    return [e for g in parent if _local(g) == group for e in g if _local(e) == name]


def _data_field(field: Element) -> Tensor:
    values = tuple(v.get("value", "") for v in field if _local(v) == "Value")
    return Tensor(field.get("name", ""), None, field.get("dataType", ""), field.get("optype", ""), values)


def _output_field(field: Element) -> Tensor:
    return Tensor(field.get("name", ""), None, field.get("dataType", ""), field.get("optype", ""))
