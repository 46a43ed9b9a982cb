"""The components of a control plane, and how each is started."""

from __future__ import annotations

from pathlib import Path

from hack.kubernetes.certificates import AGGREGATOR
from hack.kubernetes.layout import Layout

__all__ = ["COMPONENTS", "SCHEDULER", "arguments"]

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")
SCHEDULER = "kube-scheduler"
"""Only where there are nodes to choose from."""


def arguments(component: str, layout: Layout) -> list[str]:
    """The flags of a component."""
    return _FLAGS[component](layout)


def _etcd(layout: Layout) -> list[str]:
    client = f"http://127.0.0.1:{layout.ports['etcd']}"
    peer = f"http://127.0.0.1:{layout.ports['etcd-peer']}"
    return [
        f"--data-dir={layout.root / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def _apiserver(layout: Layout) -> list[str]:
    pki, network = layout.pki, layout.network
    flags = [
        f"--etcd-servers=http://127.0.0.1:{layout.ports['etcd']}",
        f"--bind-address={layout.address}",
        f"--advertise-address={layout.address}",
        f"--secure-port={layout.ports['apiserver']}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={pki}/accounts.key",
        f"--service-account-key-file={pki}/accounts.key",
        f"--audit-policy-file={layout.policy}",
        f"--audit-log-path={layout.audit}",
    ]
    if network is None:
        return [
            *flags,
            "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
        ]
    return [
        *flags,
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={network.services}",
        f"--kubelet-client-certificate={pki}/kube-apiserver.crt",
        f"--kubelet-client-key={pki}/kube-apiserver.key",
        "--kubelet-preferred-address-types=InternalIP",
        *_aggregation(pki),
    ]


def _aggregation(pki: Path) -> list[str]:
    """How the API server tells an API that is behind it, such as that of metrics, for whom it calls."""
    return [
        f"--requestheader-client-ca-file={pki}/ca.crt",
        f"--requestheader-allowed-names={AGGREGATOR}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/{AGGREGATOR}.crt",
        f"--proxy-client-key-file={pki}/{AGGREGATOR}.key",
        "--enable-aggregator-routing=true",
    ]


def _manager(layout: Layout) -> list[str]:
    flags = [
        f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
        "--leader-elect=false",
        "--secure-port=0",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={layout.pki}/accounts.key",
        f"--root-ca-file={layout.pki}/ca.crt",
        f"--flex-volume-plugin-dir={layout.plugins}",  # it would make its default, a folder of the system's
    ]
    return flags if layout.network else [*flags, "--controllers=*,-nodeipam,-node-lifecycle-controller"]


def _scheduler(layout: Layout) -> list[str]:
    return [f"--kubeconfig={layout.kubeconfig(SCHEDULER)}", "--leader-elect=false", "--secure-port=0"]


_FLAGS = {
    "etcd": _etcd,
    "kube-apiserver": _apiserver,
    "kube-controller-manager": _manager,
    SCHEDULER: _scheduler,
}
