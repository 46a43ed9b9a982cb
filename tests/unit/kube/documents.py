"""kubeconfig files with one of each: a cluster, a user and the context of both."""

from __future__ import annotations

from typing import Any

__all__ = ["document"]


def document(cluster: dict[str, Any], user: dict[str, Any], *, name: str = "one", **context: str) -> dict[str, Any]:
    """All three are called `name`; `context` is what the context has beyond the two."""
    return {
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **context}}],
    }
