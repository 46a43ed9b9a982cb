"""Istio: istiod, and one Envoy that it configures as the ingress gateway. Both are processes of the node, in no pod."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from hack.kubernetes.addon import Process
from hack.kubernetes.layout import Layout
from hack.kubernetes.modules import Module
from hack.kubernetes.network import Network
from hack.kubernetes.requirements import MissingError

__all__ = ["GATEWAY_LABELS", "NAMESPACE", "Istio"]

NAMESPACE: Final = "istio-system"
GATEWAY_LABELS: Final = {"istio": "ingressgateway"}
_VERSION: Final = "1.31"
_STAMP: Final = "istio.io/istio/pkg/version"
_ISTIOD: Final = Module(
    "istiod",
    "istio.io/istio",
    "v0.0.0-20260827124520-eed52ebb66ad",
    "pilot/cmd/pilot-discovery",
    tags="vtprotobuf,disable_pgv",
    stamps=f"-X {_STAMP}.buildVersion={_VERSION}-dev -X {_STAMP}.buildTag={_VERSION}-dev",
    files=("manifests/charts/base/files/crd-all.gen.yaml",),
)
_XDS_PORT, _READY_PORT, _MONITORING_PORT, _ADMIN_PORT = 15010, 15080, 15014, 15000
_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_RUNTIME: Final = {"re2.max_program_size.error_level": 32768}
"""As in the bootstrap of Istio's own gateways."""
_SETTINGS: Final = {
    "POD_NAMESPACE": NAMESPACE,
    "POD_NAME": "istiod",
    "CLUSTER_ID": "Kubernetes",
    "REVISION": "default",
    "PILOT_CERT_PROVIDER": "istiod",
    "PILOT_DEBOUNCE_AFTER": "50ms",
    "PILOT_ENABLE_ANALYSIS": "false",
    "PILOT_ENABLE_GATEWAY_API": "false",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
    # The gateway is an Envoy without Istio's own filters, and without an agent that authenticates it.
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "XDS_AUTH": "false",
}


class Istio:
    processes = ("istiod", "istio-gateway")

    def prepare(self) -> None:
        _ISTIOD.prepare()
        _envoy()

    def files(self, layout: Layout, network: Network) -> Mapping[str, str]:  # noqa: ARG002 - the node's addresses do
        return {"mesh.json": json.dumps(_mesh(network)), "istio-gateway.json": json.dumps(_bootstrap(network))}

    def objects(self, network: Network) -> list[Mapping[str, Any] | str]:  # noqa: ARG002 - as on any cluster
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        return [namespace, (_ISTIOD.prepare() / "crd-all.gen.yaml").read_text()]

    def process(self, name: str, layout: Layout, network: Network) -> Process:
        if name == "istiod":
            return _istiod(layout, network)
        configuration = str(layout.root / "istio-gateway.json")
        command = (str(_envoy()), "--config-path", configuration, "--concurrency", "2", "--log-level", "warn")
        return Process(command, f"http://{network.node}:{_ADMIN_PORT}/ready")


def _istiod(layout: Layout, network: Network) -> Process:
    command = (
        str(_ISTIOD.prepare() / "pilot-discovery"),
        "discovery",
        f"--kubeconfig={layout.kubeconfig()}",
        f"--meshConfig={layout.root / 'mesh.json'}",
        f"--grpcAddr={network.node}:{_XDS_PORT}",
        f"--httpAddr={network.node}:{_READY_PORT}",
        f"--monitoringAddr={network.node}:{_MONITORING_PORT}",
        "--httpsAddr=",
        "--secureGRPCAddr=",
        "--ctrlz_port=0",
    )
    return Process(command, f"http://{network.node}:{_READY_PORT}/ready", _SETTINGS)


def _envoy() -> Path:
    """Return the Envoy that Klever itself runs as its gateway."""
    found = find_spec("envoy")
    if found is None or not found.submodule_search_locations:
        raise MissingError("this Python has no Envoy, the gateway of Istio: run with the Python of .venv")
    return Path(found.submodule_search_locations[0]) / "_bin" / "envoy"


def _mesh(network: Network) -> Mapping[str, Any]:
    return {
        "trustDomain": "cluster.local",
        "enableAutoMtls": False,  # every cluster would wait for a certificate from an agent
        "defaultConfig": {"discoveryAddress": f"{network.node}:{_XDS_PORT}"},
        "accessLogFile": "",
    }


def _bootstrap(network: Network) -> Mapping[str, Any]:
    source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    services = [{"envoy_grpc": {"cluster_name": "xds"}}]
    return {
        "node": _node(network),
        "admin": {"address": _socket(network, _ADMIN_PORT)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": services,
            },
            "lds_config": source,
            "cds_config": source,
        },
        "static_resources": {"clusters": [_xds(network)]},
        "layered_runtime": {"layers": [{"name": "istio", "static_layer": _RUNTIME}]},
    }


def _node(network: Network) -> Mapping[str, Any]:
    """Return what istiod knows a gateway by."""
    return {
        "id": f"router~{network.node}~ingress.{NAMESPACE}~{NAMESPACE}.svc.cluster.local",
        "cluster": f"istio-ingressgateway.{NAMESPACE}",
        "metadata": {
            "NAMESPACE": NAMESPACE,
            "LABELS": GATEWAY_LABELS,
            "ISTIO_VERSION": f"{_VERSION}.0",
            "CLUSTER_ID": "Kubernetes",
            "INSTANCE_IPS": str(network.node),
            "NAME": "ingress",
            "UNPRIVILEGED_POD": "true",
        },
    }


def _xds(network: Network) -> Mapping[str, Any]:
    options = {"@type": f"type.googleapis.com/{_OPTIONS}", "explicit_http_config": {"http2_protocol_options": {}}}
    endpoint = {"endpoint": {"address": _socket(network, _XDS_PORT)}}
    return {
        "name": "xds",
        "type": "STATIC",
        "typed_extension_protocol_options": {_OPTIONS: options},
        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _socket(network: Network, port: int) -> Mapping[str, Any]:
    return {"socket_address": {"address": str(network.node), "port_value": port}}
