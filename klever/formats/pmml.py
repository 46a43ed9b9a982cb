"""PMML (dmg.org, PMML 3.x-4.x): active and target fields, and computed outputs.

The document is read as a stream. Only fields are kept, not the content of trees or forests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, TypeVar
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ExpatError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.files import only_match
from klever.formats.signature import Signature, Tensor

__all__ = ["read_signature"]

T = TypeVar("T")

_LIMIT: Final = 512 << 20
_CHUNK: Final = 64 << 10
_MAX_TAG: Final = 1 << 20
"""The most bytes that wait in the parser, which keeps a tag in memory until it ends."""
_MATTERS: Final = 4
"""How many levels of elements matter. Below them are the trees, tables and networks."""
_MAX_DEPTH: Final = 10_000
_MAX_KEPT: Final = 4 << 20
_FIELD_COST: Final = 64
"""How many characters a field counts in addition to its texts."""
_TARGETS: Final = {"target", "predicted"}
"""The name since PMML 4.2, and before."""
_PARTS: Final = frozenset({"Application", "DataField", "MiningField", "MiningSchema", "Output", "OutputField", "Value"})
"""The elements below the models, the header and the dictionary that matter."""
_NO_MODELS: Final = {"Header", "MiningBuildTask", "DataDictionary", "TransformationDictionary", "Extension"}


def read_signature(model_dir: Path) -> Signature:
    """Read the signature: inputs are the active mining fields, outputs the targets and the Output element's fields."""
    path = only_match(model_dir, "*.pmml", _LIMIT)
    try:
        with path.open("rb") as file:
            return _read(file)
    except (ParseError, DefusedXmlException, ExpatError, ValueError, LookupError, InvalidError) as error:
        raise InvalidError(f"{path.name} is not PMML: {error}") from error


def _read(file: BinaryIO) -> Signature:
    document = _Document()
    parser = DefusedXMLParser(target=document)
    expat = parser.parser
    # Most of a document is in its trees. A target would be called three times for each of their elements.
    expat.StartElementHandler, expat.EndElementHandler = _handlers(document)
    expat.DefaultHandlerExpand = expat.CharacterDataHandler = None
    read = 0
    while chunk := file.read(_CHUNK):
        read += len(chunk)
        parser.feed(chunk)
        if read - expat.CurrentByteIndex > _MAX_TAG:
            raise InvalidError(f"a tag must have at most {_MAX_TAG} bytes")
    parser.close()
    return document.signature()


def _handlers(document: _Document) -> tuple[Callable[[str, list[str]], None], Callable[[str], None]]:
    """Return expat's handlers, which call the document for the elements that may matter to it."""
    depth = 0

    def start(tag: str, attributes: list[str]) -> None:
        nonlocal depth
        if depth < _MATTERS:
            document.start(tag, attributes)
        elif depth == _MAX_DEPTH:
            raise InvalidError(f"it must be nested at most {_MAX_DEPTH} levels deep")
        depth += 1

    def end(_tag: str) -> None:
        nonlocal depth
        depth -= 1
        if depth < _MATTERS:
            document.end()

    return start, end


@dataclass(slots=True)
class _Document:
    """Collects the fields of a document from its outer elements."""

    _path: list[str] = field(default_factory=list)
    """The names of the open elements."""
    _fields: dict[str, Tensor] = field(default_factory=dict)
    _open: str = ""
    """The open DataField."""
    _values: list[str] = field(default_factory=list)
    """The values of the open DataField."""
    _usage: list[tuple[str, str]] = field(default_factory=list)
    _outputs: list[Tensor] = field(default_factory=list)
    _version: str = ""
    _producer: list[str] = field(default_factory=list)
    _models: Counter[str] = field(default_factory=Counter)
    _in_first: bool = False
    """Whether the current or last model is the first one, whose fields count."""
    _function: str = ""
    """The function of the first model, e.g. `classification`."""
    _left: int = _MAX_KEPT

    def start(self, tag: str, written: list[str]) -> None:
        """Take an element, with its attributes as names and values in turns."""
        name = tag.rpartition("}")[2]
        if len(self._path) > 1 and name not in _PARTS:
            self._path.append(name)
            return
        attributes = dict(zip(written[::2], written[1::2], strict=True))
        if not self._path:
            if name != "PMML":
                raise InvalidError(f"its root element must be PMML, not {name[:80]}")
            self._version = self._kept(attributes.get("version", ""), attributes)
        self._path.append(name)
        self._element(tuple(self._path[1:]), attributes)

    def end(self) -> None:
        if self._path[1:] == ["DataDictionary", "DataField"]:
            self._fields[self._open] = replace(self._fields[self._open], values=tuple(self._values))
        self._path.pop()

    def signature(self) -> Signature:
        if not self._models:
            raise InvalidError("it must contain a model element")
        inputs = tuple(self._fields.get(name, Tensor(name)) for name, kind in self._usage if kind == "active")
        targets = [self._fields.get(name, Tensor(name)) for name, kind in self._usage if kind in _TARGETS]
        details = Details(
            format_version=f"PMML {self._version}" if self._version else "",
            producer=" ".join(self._producer),
            classes=targets[0].values if self._function == "classification" and targets else (),
        )
        return Signature(inputs, (*targets, *self._outputs), dict(self._models), details)

    def _element(self, path: tuple[str, ...], attributes: Mapping[str, str]) -> None:
        """Keep the parts of an element that the signature needs. `path` is relative to the root."""
        match path:
            case ("DataDictionary", "DataField"):
                self._open, self._values = attributes.get("name", ""), []
                self._fields[self._open] = self._kept(_tensor(attributes), attributes)
            case ("DataDictionary", "DataField", "Value") if attributes.get("property", "valid") == "valid":
                self._values.append(self._kept(attributes.get("value", ""), attributes))
            case ("Header", "Application"):
                written = (attributes.get("name", ""), attributes.get("version", ""))
                self._producer = self._kept([part for part in written if part], attributes)
            case (name,) if name not in _NO_MODELS:
                self._in_first = not self._models
                if self._in_first:
                    self._function = attributes.get("functionName", "")
                self._models[self._kept(name, {"": name})] += 1
            case (name, "MiningSchema", "MiningField") if self._in_first and name not in _NO_MODELS:
                usage = (attributes.get("name", ""), attributes.get("usageType", "active"))
                self._usage.append(self._kept(usage, attributes))
            case (name, "Output", "OutputField") if self._in_first and name not in _NO_MODELS:
                self._outputs.append(self._kept(_tensor(attributes), attributes))

    def _kept(self, what: T, attributes: Mapping[str, str]) -> T:
        """Return the kept part of these attributes, if there is room."""
        self._left -= _FIELD_COST + sum(map(len, attributes.values()))
        if self._left < 0:
            raise InvalidError(f"its fields and values must have at most {_MAX_KEPT} characters in total")
        return what


def _tensor(attributes: Mapping[str, str]) -> Tensor:
    return Tensor(attributes.get("name", ""), None, attributes.get("dataType", ""), attributes.get("optype", ""))
