"""llama.cpp: language models in GGUF, by the API of OpenAI."""

from __future__ import annotations

from klever.runtimes.llamacpp.runtime import LlamaCppRuntime

__all__ = ["LlamaCppRuntime"]
