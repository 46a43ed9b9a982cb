"""llama.cpp: language models in GGUF with OpenAI's API."""

from __future__ import annotations

from klever.runtimes.llamacpp.runtime import LlamaCppRuntime

__all__ = ["LlamaCppRuntime"]
