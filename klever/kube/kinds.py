"""The rows of the kinds of Kubernetes and Istio that Klever makes or follows on a cluster."""

from __future__ import annotations

from typing import Final

from klever.api.kinds import Kind

__all__ = [
    "DEPLOYMENT",
    "DESTINATION_RULE",
    "ENVOY_FILTER",
    "GATEWAY",
    "JOB",
    "POD",
    "SECRET",
    "SERVICE",
    "SERVICE_ENTRY",
    "VIRTUAL_SERVICE",
]

DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
JOB: Final = Kind("batch", "v1", "Job", "jobs")
POD: Final = Kind("", "v1", "Pod", "pods")
SECRET: Final = Kind("", "v1", "Secret", "secrets", has_status=False)
SERVICE: Final = Kind("", "v1", "Service", "services")

_ISTIO: Final = "networking.istio.io"
DESTINATION_RULE: Final = Kind(_ISTIO, "v1", "DestinationRule", "destinationrules")
ENVOY_FILTER: Final = Kind(_ISTIO, "v1alpha3", "EnvoyFilter", "envoyfilters")
GATEWAY: Final = Kind(_ISTIO, "v1", "Gateway", "gateways")
SERVICE_ENTRY: Final = Kind(_ISTIO, "v1", "ServiceEntry", "serviceentries")
VIRTUAL_SERVICE: Final = Kind(_ISTIO, "v1", "VirtualService", "virtualservices")
