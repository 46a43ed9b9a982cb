"""The components of the one node: containerd, kubelet and kube-proxy; how each is configured and started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hack.kubernetes.build import prepare
from hack.kubernetes.certificates import NODE
from hack.kubernetes.images import PAUSE
from hack.kubernetes.layout import Layout
from hack.kubernetes.network import Network
from hack.kubernetes.packages import program

__all__ = ["COMPONENTS", "PROXY_PORT", "command", "configure"]

COMPONENTS = ("containerd", "kubelet", "kube-proxy")
PROXY_PORT = 10256
"""Where kube-proxy says that it is healthy."""
_SOCKET = "/run/containerd/containerd.sock"


def configure(layout: Layout, network: Network, cgroup: str) -> None:
    """Write the configuration files; `cgroup` is the one that all pods' are in."""
    (layout.root / "cni").mkdir(exist_ok=True)
    (layout.root / "cni" / "pods.conflist").write_text(json.dumps(_cni(network)))
    # A name server on a loopback address is out of pods' reach, but the kubelet wants the file.
    (layout.root / "resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
    (layout.root / "containerd.toml").write_text(_containerd(layout.root))
    for name, document in {"kubelet": _kubelet(layout, network, cgroup), "kube-proxy": _proxy(layout, network)}.items():
        (layout.root / f"{name}.json").write_text(json.dumps(document, indent=1))


def command(component: str, layout: Layout) -> list[str]:
    """What starts a component."""
    if component == "containerd":
        return [str(program("containerd")), f"--config={layout.root / 'containerd.toml'}"]
    started = [str(prepare()), component, f"--config={layout.root / f'{component}.json'}"]
    if component == "kube-proxy":
        return started
    return [
        *started,
        f"--kubeconfig={layout.kubeconfig('kubelet')}",
        f"--root-dir={layout.root / 'kubelet'}",
        f"--cert-dir={layout.root / 'kubelet' / 'pki'}",
        f"--node-ip={layout.address}",
        f"--hostname-override={NODE}",
    ]


def _cni(network: Network) -> Mapping[str, Any]:
    """Each pod has a link of its own to the node: traffic between pods is routed, and so passes kube-proxy's rules."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": str(network.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": addresses}]}


def _containerd(root: Path) -> str:
    return f"""version = 2
root = "{root / "containerd"}"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root / "opt"}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true  # without CAP_SYS_RESOURCE a score below our own cannot be set
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{program("ptp").parent}"
    conf_dir = "{root / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{program("runc")}"
      SystemdCgroup = false
"""


def _kubelet(layout: Layout, network: Network, cgroup: str) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(network.node),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "clusterDNS": [str(network.node)],  # where the add-on `dns` listens
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,  # images are loaded, and could not be had again
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "podLogsDir": str(layout.root / "pods"),
        "registerNode": True,
        "resolvConf": str(layout.root / "resolv.conf"),
        "volumePluginDir": str(layout.plugins),
    }


def _proxy(layout: Layout, network: Network) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig("kube-proxy"))},
        "clusterCIDR": str(network.pods),
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": f"{network.node}:{PROXY_PORT}",
        "hostnameOverride": NODE,
        "metricsBindAddress": "127.0.0.1:10249",
    }
