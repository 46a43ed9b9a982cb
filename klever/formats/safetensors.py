"""SafeTensors: the tensors of one file, or of the shards in an index, and the model's config.json.

Sources: safetensors' README.md (format), transformers' configuration files. Weights are not read.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.files import all_matches, any_match, check_path, map_file
from klever.formats.safetensors_header import Header, read_header
from klever.formats.signature import Signature
from klever.formats.transformers import Configuration
from klever.formats.weights import Weights

__all__ = ["read_signature"]

_LIMIT: Final = 1 << 40
_MAX_INDEX: Final = 64 << 20
_SHARD: Final = re.compile(rb'"([^"\\]{1,255}\.safetensors)"')
"""Matches a shard in an index. Parsing the index of a model with many experts would take much memory."""


def read_signature(model_dir: Path) -> Signature:
    """Read the details. The files have no inputs and outputs, which the author must declare."""
    weights, types, formats = Weights(), Counter[str](), set[str]()
    for path in _shards(model_dir):
        header = _header(path)
        weights.add_bytes(header.weights.parameters, header.weights.bytes)
        types += header.types
        formats.add(header.format)
    kept_as = types.most_common(1)[0][0] if types else ""
    configuration = Configuration.read(model_dir)
    return Signature(
        details=Details(
            format_version=", ".join(sorted(filter(None, formats))),
            producer=configuration.producer(),
            parameters=weights.parameters,
            parameter_bytes=weights.bytes,
            memory_bytes=configuration.memory(weights.bytes),
            classes=configuration.classes(),
            language_model=configuration.language_model(kept_as),
            warnings=configuration.warnings,
        )
    )


def _header(path: Path) -> Header:
    try:
        return read_header(map_file(path))
    except InvalidError as error:
        raise InvalidError(f"{path.name} is not a SafeTensors file: {error.message}") from error


def _shards(model_dir: Path) -> list[Path]:
    """Return the files of the model. Raises `InvalidError` if the index names a missing file."""
    paths = all_matches(model_dir, "*.safetensors", _LIMIT)
    index = any_match(model_dir, "*.safetensors.index.json", _MAX_INDEX)
    if index is None:
        return paths
    content = map_file(index)
    named = {found[1].decode(errors="replace") for found in _SHARD.finditer(content)}
    for name in named:
        check_path(name, f"a tensor of {index.name}")
    if missing := sorted(named - {path.name for path in paths}):
        raise InvalidError(f"{index.name} names {', '.join(missing[:10])[:500]}, which is missing", reason="LAYOUT")
    return [path for path in paths if path.name in named] if named else paths
