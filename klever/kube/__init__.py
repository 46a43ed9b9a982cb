"""The API server of a Kubernetes cluster: kubeconfig, one typed client and reflectors."""

from klever.kube.client import MANAGER, KubeClient
from klever.kube.config import KubeConfig
from klever.kube.reflector import Reflector
from klever.kube.resume import follow

__all__ = ["MANAGER", "KubeClient", "KubeConfig", "Reflector", "follow"]
