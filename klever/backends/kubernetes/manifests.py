"""The objects of a workload: a Deployment, a Service, and a Secret for the storage initializer."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from math import ceil
from typing import Any, Final

from klever.api.kinds import Kind, Object
from klever.api.quantities import read_quantity
from klever.backends import PredictorWorkload, ServingKey, Workload
from klever.backends.kubernetes.layout import PORTS, ROOT
from klever.backends.kubernetes.servers import SERVER, own_server, runtime_server
from klever.backends.kubernetes.settings import Image, ReplicaSettings
from klever.backends.kubernetes.sizes import is_autoscaled
from klever.kube.kinds import DEPLOYMENT, SECRET, SERVICE
from klever.kube.pods import LOG, RESTRICTED, overridden, pod_security
from klever.kube.secrets import own_secret

__all__ = [
    "AUTOSCALED",
    "INITIALIZER",
    "MANAGED",
    "OWN_VOLUMES",
    "PREDICTOR",
    "RUNTIME",
    "SERVER",
    "SERVING",
    "TRUST",
    "WORKLOAD",
    "build_labels",
    "child",
    "deployment",
    "object_name",
    "secret",
    "service",
]

MANAGED: Final = {"app.kubernetes.io/managed-by": "klever"}
SERVING: Final = "kleveross.io/serving"
"""Label: the name of the Serving."""
WORKLOAD: Final = "kleveross.io/workload"
"""Label: the id of the workload."""
TRUST: Final = "kleveross.io/trust"
"""Annotation of a Deployment: what running the workload can do."""
RUNTIME: Final = "kleveross.io/runtime"
"""Annotation of a Deployment: the runtime of the workload."""
PREDICTOR: Final = "kleveross.io/predictor"
"""Annotation of a Deployment: the predictor that uses the workload. It may change while the pods run."""
AUTOSCALED: Final = "kleveross.io/autoscaled"
"""Annotation of a Deployment: an autoscaler chooses the number of its replicas."""
INITIALIZER: Final = "storage-initializer"
OWN_VOLUMES: Final = ("replica", "shared-memory", "temporary", "workload")
_DOCUMENT: Final = "/etc/klever/workload/workload.json"
_GRACE_S: Final = 30
_RECREATE: Final = {"type": "Recreate"}
_ROLLING: Final = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def object_name(key: ServingKey, workload: str) -> str:
    """Return the name of the workload's Deployment and Service."""
    return f"{key.name}-{workload}"


def secret(workload: Workload, predictor: PredictorWorkload, image: Image, settings: ReplicaSettings) -> Object:
    """Return the Secret that the storage initializer alone reads."""
    document = {
        "serving": workload.key.name,
        "limits": asdict(settings.limits),
        "secrets": settings.secrets(predictor),
        "predictor": {
            "runtime": predictor.runtime,
            "model": predictor.model,
            "env": {one["name"]: one["value"] for one in predictor.env if "value" in one},
            "image": predictor.image,
            "command": predictor.command,
            "probe_path": predictor.probe_path,
            "threads": ceil(read_quantity(predictor.resources.get("limits", {}).get("cpu", 0)) or 0),
            "tuning": asdict(predictor.tuning),
            "gpus": any("gpu" in name for name in predictor.resources.get("limits", {})),
            "environments": {name: str(path) for name, path in image.environments.items()},
        },
    }
    encoded = base64.b64encode(json.dumps(document).encode()).decode()
    made = child(SECRET, workload, predictor, settings) | {"data": {"workload.json": encoded}}
    made["metadata"]["name"] = own_secret(made["metadata"]["name"])
    return made


def service(workload: Workload, predictor: PredictorWorkload, settings: ReplicaSettings) -> Object:
    listening = predictor.ports or PORTS
    ports = [
        {"name": name, "port": port, "targetPort": listening[name]} for name, port in PORTS.items() if name in listening
    ]
    spec = {"selector": build_labels(workload.key, predictor.id), "ports": ports}
    return child(SERVICE, workload, predictor, settings) | {"spec": spec}


def deployment(workload: Workload, predictor: PredictorWorkload, image: Image, settings: ReplicaSettings) -> Object:
    """Return the Deployment, without a number of replicas if an autoscaler chooses it."""
    labels = build_labels(workload.key, predictor.id)
    made = child(DEPLOYMENT, workload, predictor, settings)
    made["metadata"]["annotations"] = {
        PREDICTOR: predictor.predictor,
        RUNTIME: predictor.runtime,
        TRUST: predictor.trust.value,
        **({AUTOSCALED: "true"} if is_autoscaled(predictor) else {}),
    }
    made["spec"] = {
        **({} if is_autoscaled(predictor) else {"replicas": predictor.replicas}),
        "selector": {"matchLabels": labels},
        "strategy": _RECREATE if workload.after_the_old else _ROLLING,
        "template": _template(workload, predictor, image, settings),
    }
    return made


def _template(
    workload: Workload, predictor: PredictorWorkload, image: Image, settings: ReplicaSettings
) -> Mapping[str, Any]:
    metadata = {"labels": build_labels(workload.key, predictor.id)}
    template = {"metadata": metadata, "spec": _pod(workload, predictor, image, settings)}
    return overridden(overridden(template, settings.pod), predictor.pod)


def child(kind: Kind, workload: Workload, predictor: PredictorWorkload, settings: ReplicaSettings) -> dict[str, Any]:
    """Return the beginning of an object of a workload."""
    owner = settings.owner(workload)
    labels = MANAGED | build_labels(workload.key, predictor.id)
    metadata = {
        "name": object_name(workload.key, predictor.id),
        "namespace": workload.key.namespace,
        "labels": labels,
        **({"ownerReferences": [owner]} if owner else {}),
    }
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def build_labels(key: ServingKey, workload: str) -> dict[str, str]:
    """Return the labels of a workload's pods."""
    return {SERVING: key.name, WORKLOAD: workload}


def _pod(
    workload: Workload, predictor: PredictorWorkload, image: Image, settings: ReplicaSettings
) -> Mapping[str, Any]:
    name = own_secret(object_name(workload.key, predictor.id))
    needs_initializer = predictor.model or not predictor.image
    server = (
        own_server(predictor, workload.key.name, settings)
        if predictor.image
        else runtime_server(predictor, image, settings)
    )
    memory = {"medium": "Memory", "sizeLimit": str(settings.shared_memory_bytes)}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_S + settings.drain_s,
        "securityContext": pod_security(settings.user),
        "imagePullSecrets": [{"name": secret} for secret in settings.pull_secrets],
        "initContainers": [_initializer(settings)] if needs_initializer else [],
        "containers": [server],
        "volumes": [
            {"name": "replica", "emptyDir": {"sizeLimit": str(settings.model_bytes)}},
            {"name": "shared-memory", "emptyDir": memory},
            {"name": "temporary", "emptyDir": {}},
            {"name": "workload", "secret": {"secretName": name}},
        ],
    }


def _initializer(settings: ReplicaSettings) -> dict[str, Any]:
    return {
        "name": INITIALIZER,
        "image": settings.image,
        "command": [*settings.initializer, _DOCUMENT],
        "workingDir": str(ROOT),
        "env": [{"name": "KLEVER_TERMINATION_LOG", "value": LOG}, {"name": "HOME", "value": str(ROOT)}],
        "terminationMessagePath": LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "replica", "mountPath": str(ROOT)},
            {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108 - of the container
            {"name": "workload", "mountPath": "/etc/klever/workload", "readOnly": True},
        ],
    }
