"""The kinds of Kubernetes and Istio that Klever makes or follows on a cluster, with the verbs that it needs on them.

A server-side apply of a new object needs the verb create beside patch.
"""

from __future__ import annotations

from typing import Final

from klever.api.kinds import Kind

__all__ = [
    "AUTOSCALER",
    "DEPLOYMENT",
    "DESTINATION_RULE",
    "DISRUPTION_BUDGET",
    "ENVOY_FILTER",
    "GATEWAY",
    "ISTIO_KINDS",
    "JOB",
    "NETWORK_POLICY",
    "POD",
    "POD_KINDS",
    "SECRET",
    "SERVICE",
    "SERVICE_ENTRY",
    "VIRTUAL_SERVICE",
]

_APPLIED: Final = ("create", "list", "watch", "patch", "delete")


def _applied(group: str, version: str, kind: str, plural: str) -> Kind:
    return Kind(group, version, kind, plural, controller_verbs=_APPLIED)


AUTOSCALER: Final = _applied("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DEPLOYMENT: Final = _applied("apps", "v1", "Deployment", "deployments")
DISRUPTION_BUDGET: Final = _applied("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
JOB: Final = Kind("batch", "v1", "Job", "jobs", controller_verbs=("create", "get", "list", "watch", "patch", "delete"))
NETWORK_POLICY: Final = _applied("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
POD: Final = Kind(
    "", "v1", "Pod", "pods", controller_verbs=("list", "watch", "patch")
)  # patch: to end a cancelled task
SECRET: Final = Kind("", "v1", "Secret", "secrets", has_status=False, controller_verbs=("create", "delete"))
SERVICE: Final = _applied("", "v1", "Service", "services")

POD_KINDS: Final = (
    JOB,
    POD,
    DEPLOYMENT,
    SERVICE,
    SECRET,
    AUTOSCALER,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
)
"""What `klever controllers --pods` needs beside its own kinds."""

_ISTIO: Final = "networking.istio.io"
_SHARED: Final = ("create", "list", "watch", "patch")
DESTINATION_RULE: Final = _applied(_ISTIO, "v1", "DestinationRule", "destinationrules")
ENVOY_FILTER: Final = Kind(_ISTIO, "v1alpha3", "EnvoyFilter", "envoyfilters", controller_verbs=_SHARED)
GATEWAY: Final = Kind(_ISTIO, "v1", "Gateway", "gateways", controller_verbs=_SHARED)
SERVICE_ENTRY: Final = _applied(_ISTIO, "v1", "ServiceEntry", "serviceentries")
VIRTUAL_SERVICE: Final = _applied(_ISTIO, "v1", "VirtualService", "virtualservices")

ISTIO_KINDS: Final = (VIRTUAL_SERVICE, DESTINATION_RULE, SERVICE_ENTRY, ENVOY_FILTER, GATEWAY)
"""What routes take if Istio's gateway has them."""
