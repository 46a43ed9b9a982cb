"""The NetworkPolicy of a Serving: only the gateway and the control plane reach its replicas."""

from __future__ import annotations

from klever.api.kinds import Object
from klever.backends import ServingKey, Workload
from klever.backends.kubernetes.manifests import MANAGED, SERVING
from klever.backends.kubernetes.settings import ReplicaSettings
from klever.kube.kinds import NETWORK_POLICY

__all__ = ["network_policy", "policy_name"]


def policy_name(key: ServingKey) -> str:
    return f"{key.name}-replicas"


def network_policy(workload: Workload, settings: ReplicaSettings) -> Object:
    """Return the policy. It admits the peers of the settings, and nothing at all if there are none."""
    key, owner = workload.key, settings.owner(workload)
    metadata = {
        "name": policy_name(key),
        "namespace": key.namespace,
        "labels": MANAGED | {SERVING: key.name},
        **({"ownerReferences": [owner]} if owner else {}),
    }
    ingress = [{"from": [dict(peer) for peer in settings.admitted]}] if settings.admitted else []
    spec = {"podSelector": {"matchLabels": {SERVING: key.name}}, "policyTypes": ["Ingress"], "ingress": ingress}
    return {
        "apiVersion": NETWORK_POLICY.api_version,
        "kind": NETWORK_POLICY.kind,
        "metadata": metadata,
        "spec": spec,
    }
