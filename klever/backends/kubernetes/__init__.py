"""Runs Servings as Deployments of a Kubernetes cluster."""

from __future__ import annotations

from klever.backends.kubernetes.backend import KubernetesBackend
from klever.backends.kubernetes.settings import Image, ReplicaSettings

__all__ = ["Image", "KubernetesBackend", "ReplicaSettings"]
