"""CoreDNS: pods resolve the names of Services. It knows no other names, because pods have no route elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hack.kubernetes.addon import Process
from hack.kubernetes.layout import Layout
from hack.kubernetes.modules import Module
from hack.kubernetes.network import Network

__all__ = ["Dns"]

_COREDNS: Final = Module("coredns", "github.com/coredns/coredns", "v1.14.7")
_READY_PORT: Final = 8181


class Dns:
    processes = ("coredns",)

    def prepare(self) -> None:
        _COREDNS.prepare()

    def files(self, layout: Layout, network: Network) -> Mapping[str, str]:
        return {"Corefile": _corefile(layout, network)}

    def objects(self, network: Network) -> list[Mapping[str, Any]]:  # noqa: ARG002 - it has none
        return []

    def process(self, name: str, layout: Layout, network: Network) -> Process:
        program = _COREDNS.prepare() / name
        return Process(
            (str(program), "-conf", str(layout.root / "Corefile")), f"http://{network.node}:{_READY_PORT}/ready"
        )


def _corefile(layout: Layout, network: Network) -> str:
    return f"""cluster.local:53 in-addr.arpa:53 {{
  bind {network.node}
  ready {network.node}:{_READY_PORT}
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {layout.kubeconfig()}
  }}
  cache 2
}}
"""
