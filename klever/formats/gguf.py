"""GGUF, the models of llama.cpp: the details of a language model, and its memory (ggml/docs/gguf.md).

A model may be split into files NAME-00001-of-00003.gguf. The first one has the metadata.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

from klever.errors import InvalidError
from klever.formats.details import Details, LanguageModel
from klever.formats.files import all_matches, map_file
from klever.formats.ggml import FILE_TYPES
from klever.formats.gguf_header import Header, read_header
from klever.formats.memory import Cache, memory_to_serve
from klever.formats.signature import Signature
from klever.formats.weights import Weights

__all__ = ["read_signature"]

_LIMIT: Final = 4 << 40
_SPLIT: Final = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_PROJECTOR: Final = "mmproj"
"""The prefix of the file with the projector of a multimodal model."""


def read_signature(model_dir: Path) -> Signature:
    """Read the signature. A language model has no input or output tensors, only details."""
    parts = _parts([path for path in all_matches(model_dir, "*.gguf", _LIMIT) if _PROJECTOR not in path.name.lower()])
    headers = []
    for path in parts:
        try:
            headers.append(read_header(map_file(path)))
        except InvalidError as error:
            raise InvalidError(f"{path.name} is not a GGUF file: {error.message}") from error
    return Signature(details=_details(headers))


def _parts(paths: list[Path]) -> list[Path]:
    """Return the files of one model, in order. Raises `InvalidError` that names the missing ones."""
    if not paths:
        raise InvalidError("no *.gguf file found", reason="LAYOUT")
    first = _SPLIT.fullmatch(paths[0].name)
    if first is None:
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise InvalidError(f"*.gguf must be one file, or the parts of one model, not {names}", reason="LAYOUT")
        return paths
    wanted = [f"{first[1]}-{number:05}-of-{first[3]}.gguf" for number in range(1, int(first[3]) + 1)]
    missing = sorted(set(wanted) - {path.name for path in paths})
    if missing or len(wanted) != len(paths):
        raise InvalidError(f"{paths[0].name} is one of {len(wanted)} parts, but {_shown(missing)}", reason="LAYOUT")
    return paths


def _shown(missing: list[str]) -> str:
    return f"{', '.join(missing[:10])} is missing" if missing else "the directory has files of other models"


def _details(headers: list[Header]) -> Details:
    first = headers[0]
    weights, types, unknown = Weights(), Counter[str](), set[int]()
    for header in headers:
        weights.add_bytes(header.weights.parameters, header.weights.bytes)
        types += header.types
        unknown |= header.unknown
    warnings = [f"the tensors of type {number} are not counted: the type is unknown" for number in sorted(unknown)]
    model = LanguageModel(
        architecture=_text(first, "general.architecture"),
        quantization=_quantization(first, types),
        context_length=_number(first, "context_length"),
        chat_template=_text(first, "tokenizer.chat_template"),
    )
    return Details(
        format_version=f"GGUF {first.version}",
        producer=_text(first, "general.quantized_by"),
        parameters=weights.parameters,
        parameter_bytes=weights.bytes,
        memory_bytes=memory_to_serve(weights.bytes, _cache(first)),
        language_model=model,
        warnings=tuple(warnings[:10]),
    )


def _quantization(header: Header, types: Counter[str]) -> str:
    """Return the type that the file states, or the type of most bytes."""
    named = header.metadata.get("general.file_type")
    if isinstance(named, int) and named in FILE_TYPES:
        return FILE_TYPES[named]
    return types.most_common(1)[0][0] if types else ""


def _cache(header: Header) -> Cache:
    heads = _number(header, "attention.head_count") or 0
    per_head = (_number(header, "embedding_length") or 0) // heads if heads else 0
    layers = _number(header, "block_count") or 0
    cached = header.metadata.get(f"{_text(header, 'general.architecture')}.attention.head_count_kv", heads)
    key, value = (_number(header, f"attention.{side}_length") for side in ("key", "value"))
    return Cache(
        context_length=_number(header, "context_length") or 0,
        heads=sum(cached) if isinstance(cached, list) else int(cached) * layers if isinstance(cached, int) else 0,
        head_size=(per_head if key is None else key) + (per_head if value is None else value),
        vocabulary=header.lengths.get("tokenizer.ggml.tokens", 0),
    )


def _text(header: Header, key: str) -> str:
    value = header.metadata.get(key)
    return value if isinstance(value, str) else ""


def _number(header: Header, key: str) -> int | None:
    """Return a number of the model's architecture, e.g. `llama.context_length`."""
    value = header.metadata.get(f"{_text(header, 'general.architecture')}.{key}")
    return int(value) if isinstance(value, int) else None
