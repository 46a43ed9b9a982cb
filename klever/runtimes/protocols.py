"""The protocols of runtimes. A router publishes only their paths and methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ANY", "OPENAI", "OPENSCORING", "OPEN_INFERENCE", "WireProtocol"]


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """The paths and gRPC methods of one protocol.

    `paths` is a regular expression (RE2) for paths below the Serving's URL, in which `{name}` stands for the Serving's
    name. `methods` is one for the paths of unary gRPC methods, `stream` the path of the streaming one; both are empty
    if the protocol has no gRPC.
    """

    name: str
    paths: str
    methods: str = ""
    stream: str = ""


_CALLS: Final = "ServerLive|ServerReady|ModelReady|ServerMetadata|ModelMetadata|ModelInfer"

OPEN_INFERENCE: Final = WireProtocol(
    "open-inference",
    paths=(
        r"/v2(/|/health/(live|ready)"
        r"|/models/{name}(/versions/[0-9]+)?(/(ready|infer|generate|generate_stream|config|stats))?)?"
    ),
    methods=rf"/inference\.GRPCInferenceService/({_CALLS}|ModelConfig|ModelStatistics)",
    stream="/inference.GRPCInferenceService/ModelStreamInfer",
)
"""The Open Inference Protocol v2 over HTTP and gRPC, without the control interfaces of its servers."""

OPENAI: Final = WireProtocol("openai", r"/openai/v1/(chat/completions|completions|embeddings|models)")
"""OpenAI's API for language models: HTTP only. Responses are streamed on request."""

OPENSCORING: Final = WireProtocol(
    "openscoring",
    paths=(
        r"/(openscoring/model(/[^/]+(/(pmml|batch|csv))?)?"
        r"|v2(/|/health/(live|ready)|/models/[^/]+(/versions/[0-9]+)?(/(ready|infer))?)?)"
    ),
    methods=rf"/inference\.GRPCInferenceService/({_CALLS})",
    stream=OPEN_INFERENCE.stream,
)
"""OpenScoring's REST API, and the Open Inference Protocol. A server may have several models."""

ANY: Final = WireProtocol("any", r"(/.*)?", OPEN_INFERENCE.methods, OPEN_INFERENCE.stream)
"""A user's own command: every path below the Serving's URL."""
