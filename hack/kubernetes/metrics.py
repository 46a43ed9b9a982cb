"""metrics-server: the CPU and memory of pods, for `kubectl top` and autoscalers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hack.kubernetes.addon import Process
from hack.kubernetes.layout import Layout
from hack.kubernetes.modules import Module
from hack.kubernetes.network import Network

__all__ = ["Metrics"]

_SERVER: Final = Module("metrics-server", "sigs.k8s.io/metrics-server", "v0.9.0", "cmd/metrics-server")
_PORT: Final = 4443
_GROUP: Final = "metrics.k8s.io"
_PLACE: Final = {"name": "metrics-server", "namespace": "kube-system"}


class Metrics:
    processes = ("metrics-server",)

    def prepare(self) -> None:
        _SERVER.prepare()

    def files(self, layout: Layout, network: Network) -> Mapping[str, str]:  # noqa: ARG002 - it has none
        return {}

    def objects(self, network: Network) -> list[Mapping[str, Any]]:
        """Return the Service of a process that is in no pod, and the API that the API server finds there."""
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": _PLACE,
                "spec": {"ports": [{"name": "https", "port": 443, "targetPort": _PORT}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**_PLACE, "labels": {"kubernetes.io/service-name": _PLACE["name"]}},
                "addressType": "IPv4",
                "ports": [{"name": "https", "port": _PORT}],
                "endpoints": [{"addresses": [str(network.node)]}],
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"v1beta1.{_GROUP}"},
                "spec": {
                    "group": _GROUP,
                    "version": "v1beta1",
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": _PLACE,
                },
            },
        ]

    def process(self, name: str, layout: Layout, network: Network) -> Process:
        kubeconfig = layout.kubeconfig()
        users = [f"--{use}kubeconfig={kubeconfig}" for use in ("", "authentication-", "authorization-")]
        flags = (
            f"--bind-address={network.node}",
            f"--secure-port={_PORT}",
            f"--cert-dir={layout.root / 'metrics-server'}",
            "--kubelet-insecure-tls",
            "--kubelet-preferred-address-types=InternalIP",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
        )
        return Process((str(_SERVER.prepare() / name), *users, *flags), f"/apis/{_GROUP}/v1beta1")
