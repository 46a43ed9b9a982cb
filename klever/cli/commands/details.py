"""The details of a model as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from klever.api.text import format_size
from klever.formats import Details, LanguageModel

__all__ = ["describe"]

_SHOWN: Final = 10
"""How many names of a list are shown."""


def describe(details: Details) -> Iterator[tuple[str, str]]:
    """Yield the label and text of each detail of the model."""
    if details.format_version:
        yield "version", details.format_version
    if details.producer:
        yield "producer", details.producer
    if details.parameters is not None:
        yield "parameters", f"{details.parameters:,}"
    if details.parameter_bytes is not None:
        yield "weights", format_size(details.parameter_bytes)
    if details.memory_bytes is not None:
        yield "memory to serve", f"about {format_size(details.memory_bytes)}"
    if details.classes:
        yield "classes", _listed(details.classes)
    if details.feature_names:
        yield "features", _listed(details.feature_names)
    if details.language_model is not None:
        yield from _language_model(details.language_model)


def _listed(names: tuple[str, ...]) -> str:
    more = ", …" if len(names) > _SHOWN else ""
    return f"{len(names)} ({', '.join(names[:_SHOWN])}{more})"


def _language_model(model: LanguageModel) -> Iterator[tuple[str, str]]:
    if model.architecture:
        yield "architecture", model.architecture
    if model.quantization:
        yield "quantization", model.quantization
    if model.context_length is not None:
        yield "context length", f"{model.context_length:,} tokens"
    if model.chat_template:
        yield "chat template", f"{len(model.chat_template):,} characters (-o json shows them)"
