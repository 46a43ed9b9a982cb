"""The details of a model in its files, besides the signature. A missing field is empty or None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["NO_DETAILS", "Details", "LanguageModel"]


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The facts about a language model that a runtime needs.

    `architecture` is a name such as `llama`, `quantization` one such as `Q4_K_M` or `bfloat16`. `context_length` is in
    tokens. `chat_template` is a Jinja template: code, which only a sandboxed runtime may expand.
    """

    architecture: str = ""
    quantization: str = ""
    context_length: int | None = None
    chat_template: str = ""

    def to_json(self) -> dict[str, Any]:
        return _written({
            "architecture": self.architecture,
            "quantization": self.quantization,
            "contextLength": self.context_length,
            "chatTemplate": self.chat_template,
        })  # fmt: skip


@dataclass(frozen=True, slots=True)
class Details:
    """The details of a model.

    `format_version` and `producer` are in the form of the format (`opset 17`, `pytorch 2.1`). `parameters` counts the
    elements of the weights, `parameter_bytes` their bytes in the files. `memory_bytes` estimates the memory to serve
    the model at its full context length. `classes` are those of a classifier, in the order of its scores. `warnings`
    list unreadable parts, and code that the format does not need. `feature_names` are the names of the columns of an
    input with one row per example.
    """

    format_version: str = ""
    producer: str = ""
    parameters: int | None = None
    parameter_bytes: int | None = None
    memory_bytes: int | None = None
    classes: tuple[str, ...] = ()
    language_model: LanguageModel | None = None
    warnings: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields that have a value, under the names of the ORMB config."""
        return _written({
            "formatVersion": self.format_version,
            "producer": self.producer,
            "parameters": self.parameters,
            "parameterBytes": self.parameter_bytes,
            "memoryBytes": self.memory_bytes,
            "classes": list(self.classes),
            "languageModel": self.language_model.to_json() if self.language_model else None,
            "warnings": list(self.warnings),
            "featureNames": list(self.feature_names),
        })  # fmt: skip


NO_DETAILS: Final = Details()


def _written(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value not in (None, "", [], {})}
