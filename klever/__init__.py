"""Klever: the model platform, from a model file to inference traffic.

    from klever import Client

`Client` and `AsyncClient` are loaded on first use. Sub-packages are layers; imports go downwards only (see
.importlinter and docs/architecture.md).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from klever.client.aio.client import AsyncClient as AsyncClient
    from klever.client.sync.client import Client as Client

__version__ = "0.1.0"

_LAZY = {"AsyncClient": "klever.client.aio.client", "Client": "klever.client.sync.client"}
"""Name -> its module. The commands do not pay for an import of grpc."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]
