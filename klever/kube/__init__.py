"""The API server of a Kubernetes cluster: kubeconfig, one typed client, reflectors, leases."""

from klever.kube.client import MANAGER, KubeClient
from klever.kube.config import KubeConfig
from klever.kube.election import Election
from klever.kube.reflector import Reflector
from klever.kube.resume import follow

__all__ = ["MANAGER", "Election", "KubeClient", "KubeConfig", "Reflector", "follow"]
