"""What is laid out once in a cluster's directory, and where."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import islice
from pathlib import Path

from hack.kubernetes.certificates import make_certificates
from hack.kubernetes.network import Network

__all__ = ["ADMIN", "Layout"]

ADMIN = "admin"
_PORTS = ("etcd", "etcd-peer", "apiserver")
_AUDIT = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


@dataclass(frozen=True)
class Layout:
    """A cluster's addresses and files. It has a network where it has pods."""

    root: Path
    ports: Mapping[str, int]
    network: Network | None

    @classmethod
    def make(cls, root: Path, *, pods: bool) -> Layout:
        """Choose the addresses, make the certificates, write it all down."""
        network = Network.choose(root) if pods else None
        layout = cls(root, dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True)), network)
        addresses = ("127.0.0.1", "10.96.0.1") if network is None else (str(network.node), str(network.api))
        for user in make_certificates(layout.pki, addresses, pods=pods):
            layout.write_kubeconfig(user)
        layout.policy.write_text(_AUDIT)
        block = None if network is None else str(network.block)
        _file(root).write_text(json.dumps({"ports": layout.ports, "network": block}))
        return layout

    @classmethod
    def load(cls, root: Path) -> Layout | None:
        """What was laid out, if anything."""
        try:
            document = json.loads(_file(root).read_text())
        except FileNotFoundError:
            return None
        block = document["network"]
        return cls(root, document["ports"], None if block is None else Network(IPv4Network(block)))

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def policy(self) -> Path:
        return self.root / "audit.yaml"

    @property
    def audit(self) -> Path:
        return self.root / "audit.log"

    @property
    def plugins(self) -> Path:
        """Where plugins for volumes would be."""
        return self.root / "volume-plugins"

    @property
    def address(self) -> str:
        """Where the API server listens."""
        return "127.0.0.1" if self.network is None else str(self.network.node)

    def kubeconfig(self, user: str = ADMIN) -> Path:
        return self.root / ("kubeconfig" if user == ADMIN else f"kubeconfig-{user}")

    def write_kubeconfig(self, user: str) -> Path:
        """Write the kubeconfig of a user whose certificate is there; returns its path."""
        files = {"client-certificate": f"{self.pki}/{user}.crt", "client-key": f"{self.pki}/{user}.key"}
        server = f"https://{self.address}:{self.ports['apiserver']}"
        cluster = {"server": server, "certificate-authority": f"{self.pki}/ca.crt"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": files}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path = self.kubeconfig(user)
        path.write_text(json.dumps(config, indent=1))
        return path


def _file(root: Path) -> Path:
    return root / "cluster.json"


def _free_ports(count: int) -> list[int]:
    """Ports below those of connections (32768 and up): a component that was killed finds its own still free."""
    return list(islice(filter(_is_free, random.sample(range(16384, 32768), 1000)), count))


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
