"""Reads the configuration files of transformers: config.json and those of the tokenizer.

Source: transformers/configuration_utils.py and tokenization_utils_base.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from klever.errors import InvalidError
from klever.formats.details import LanguageModel
from klever.formats.files import any_match, map_file
from klever.formats.memory import Cache, memory_to_serve

__all__ = ["Configuration"]

_MAX_CONFIG: Final = 1 << 20
_MAX_TOKENIZER: Final = 16 << 20
_MAX_TEMPLATE: Final = 1 << 20
_MAX_TEXT: Final = 200
_MOST: Final = 1 << 40
"""The largest number in a configuration."""
_NUMBER: Final = re.compile("[0-9]{1,9}")
_CLASSIFIERS: Final = ("Classification",)


class Configuration:
    """The content of the files. A missing field, or one of the wrong type, is omitted."""

    def __init__(self, config: Mapping[str, Any], chat_template: str = "", warnings: tuple[str, ...] = ()) -> None:
        self._config = config
        self._chat_template = chat_template
        nested = config.get("text_config")
        self._text: Mapping[str, Any] = nested if isinstance(nested, dict) else config
        """The part for the language model, which is nested in a multimodal model."""
        self.warnings = warnings

    @classmethod
    def read(cls, model_dir: Path) -> Self:
        """Read the existing files. Raises `InvalidError` that names an invalid one."""
        if not model_dir.is_dir():
            return cls({})
        config = _json(model_dir, "config.json", _MAX_CONFIG)
        warnings = () if config else ("config.json is missing: the architecture is unknown",)
        return cls(config, _chat_template(model_dir), warnings)

    def producer(self) -> str:
        version = self._config.get("transformers_version")
        return f"transformers {version[:_MAX_TEXT]}" if isinstance(version, str) else ""

    def classes(self) -> tuple[str, ...]:
        """Return the labels of a classifier, in the order of their numbers."""
        labels, names = self._config.get("id2label"), self._config.get("architectures")
        if not isinstance(labels, dict) or not str(names).rstrip("']").endswith(_CLASSIFIERS):
            return ()
        numbered = [(int(number), str(label)) for number, label in labels.items() if _NUMBER.fullmatch(number)]
        return tuple(label for _, label in sorted(numbered))

    def language_model(self, kept_as: str) -> LanguageModel | None:
        """Return the language model of the configuration. `kept_as` is the type of most weights."""
        context = self._number("max_position_embeddings", "n_positions", "max_seq_len")
        if not self._number("vocab_size"):
            return None
        kind = self._config.get("model_type")
        return LanguageModel(
            architecture=kind[:_MAX_TEXT] if isinstance(kind, str) else "",
            quantization=self._quantization(kept_as),
            context_length=context,
            chat_template=self._chat_template,
        )

    def memory(self, weights: int) -> int:
        """Estimate the memory in bytes to serve weights of this many bytes."""
        heads = self._number("num_attention_heads", "n_head") or 0
        hidden = self._number("hidden_size", "n_embd") or 0
        size = self._number("head_dim") or (hidden // heads if heads else 0)
        layers = self._number("num_hidden_layers", "n_layer") or 0
        context = self._number("max_position_embeddings", "n_positions", "max_seq_len") or 0
        cached = (self._number("num_key_value_heads") or heads) * layers
        return memory_to_serve(weights, Cache(context, cached, 2 * size, self._number("vocab_size") or 0))

    def _quantization(self, kept_as: str) -> str:
        quantized = self._config.get("quantization_config")
        if not isinstance(quantized, dict):
            return kept_as
        method, bits = quantized.get("quant_method"), quantized.get("bits")
        return " ".join(filter(None, [str(method or kept_as)[:_MAX_TEXT], f"{bits} bits" if _natural(bits) else ""]))

    def _number(self, *names: str) -> int | None:
        return next((self._text[name] for name in names if _natural(self._text.get(name))), None)


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _chat_template(model_dir: Path) -> str:
    path = any_match(model_dir, "chat_template.jinja", _MAX_TEMPLATE)
    if path is not None:
        return bytes(map_file(path)).decode(errors="replace")
    template = _json(model_dir, "tokenizer_config.json", _MAX_TOKENIZER).get("chat_template")
    if isinstance(template, list):  # several templates by name
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else ""


def _json(model_dir: Path, name: str, limit: int) -> dict[str, Any]:
    """Return the object in a file, or an empty one without a file."""
    path = any_match(model_dir, name, limit)
    if path is None:
        return {}
    try:
        document = json.loads(bytes(map_file(path)))
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidError(f"{name} must be a JSON object")
    return document
