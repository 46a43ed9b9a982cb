"""The roles of config/rbac, and what a user did with them by the API server's audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from hack.kubernetes.cluster import Cluster

__all__ = ["Right", "bound", "granted", "used"]

RBAC = Path(__file__).parents[2] / "config" / "rbac"

Right = tuple[str, str]
"""Resource and verb: (`servings/status`, `patch`)."""

_EVERYBODYS = ("selfsubjectaccessreviews", "selfsubjectreviews")
"""Granted to all by system:basic-user."""


def granted(*files: str) -> set[Right]:
    documents = [d for file in files for d in yaml.safe_load_all((RBAC / file).read_text())]
    rules = [rule for d in documents for rule in d.get("rules", ())]
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def used(cluster: Cluster, user: str) -> set[Right]:
    """Return the rights that the user used, except discovery and reviews of own rights. Fail if a call was denied."""
    rights = set()
    for line in cluster.audit.read_text().splitlines():
        event: dict[str, Any] = json.loads(line)
        if event["user"].get("username") != user or "objectRef" not in event:
            continue
        assert event.get("responseStatus", {}).get("code") != 403, event
        reference = event["objectRef"]
        if reference["resource"] in _EVERYBODYS:
            continue
        subresource = f"/{reference['subresource']}" if reference.get("subresource") else ""
        rights.add((reference["resource"] + subresource, event["verb"]))
    return rights


def bound(cluster: Cluster, user: str, *roles: str) -> Path:
    """A user with the roles, by bindings like those for the service account."""
    kubeconfig = cluster.user(user)
    cluster.kubectl("apply", "-f", f"{RBAC}/")
    for role in roles:
        kind, where = ("Role", {"namespace": "klever-system"}) if role == "klever-lease" else ("ClusterRole", {})
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": f"{kind}Binding",
            "metadata": {"name": f"{role}-{user}", **where},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(binding))
    return kubeconfig
