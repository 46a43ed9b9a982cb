"""The store on a real API server: `KubernetesStore` for callers, `CachedStore` for controllers."""

from klever.store.kubernetes.cached import CachedStore
from klever.store.kubernetes.store import KubernetesStore

__all__ = ["CachedStore", "KubernetesStore"]
