"""Runs tasks as batch Jobs of a Kubernetes cluster."""

from klever.executors.kubernetes.executor import KubernetesExecutor
from klever.executors.kubernetes.settings import PodSettings

__all__ = ["KubernetesExecutor", "PodSettings"]
