"""The `pod` of a predictor: a strategic merge patch of the pod template, without access to the node or to identities.

What it may change is in tables, so that a field that Kubernetes adds is refused until it has a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from klever.backends import PredictorWorkload
from klever.backends.kubernetes.layout import ROOT
from klever.backends.kubernetes.manifests import INITIALIZER, OWN_VOLUMES, SERVER
from klever.errors import FieldViolation, InvalidError
from klever.formats import Trust
from klever.kube.merge import merge
from klever.kube.restricted import check_hosts, check_security
from klever.kube.secrets import check_secrets

__all__ = ["check_overrides"]

_FIELDS: Final = (
    "affinity", "containers", "dnsConfig", "dnsPolicy", "hostAliases", "hostname", "imagePullSecrets", "initContainers",
    "nodeSelector", "preemptionPolicy", "priorityClassName", "readinessGates", "resourceClaims", "resources",
    "runtimeClassName", "schedulerName", "securityContext", "subdomain", "terminationGracePeriodSeconds", "tolerations",
    "topologySpreadConstraints", "volumes",
)  # fmt: skip
_DANGEROUS: Final = (
    "automountServiceAccountToken", "hostIPC", "hostNetwork", "hostPID", "hostUsers", "nodeName", "serviceAccount",
    "serviceAccountName", "shareProcessNamespace",
)  # fmt: skip
"""Refused with a reason, unless they are false or empty."""
_VOLUMES: Final = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
)  # fmt: skip
"""The types of volumes under the restricted standard."""
_SERVER: Final = ("name", "imagePullPolicy", "resources", "securityContext", "volumeMounts")
_INITIALIZER: Final = ("name", "imagePullPolicy", "resources")
_OF_THE_PREDICTOR: Final = ("image", "command", "args", "env", "ports")
"""The fields of a server's container that the predictor itself has."""
_OWN_LABELS: Final = ("kleveross.io/", "app.kubernetes.io/managed-by")
_OWN_ANNOTATIONS: Final = ("kleveross.io/", "container.apparmor.security.", "seccomp.security.", "k8s.v1.cni.cncf.io/")


def check_overrides(predictor: PredictorWorkload) -> Iterator[FieldViolation]:
    """Yield a violation for each change of the pod that is not allowed, with its path below the predictor."""
    pod = predictor.pod
    try:
        merge({}, pod)
    except InvalidError as error:
        yield FieldViolation("pod.spec", error.message)
        return
    yield from _only(pod, ("metadata", "spec"), "pod")
    yield from _metadata(_mapping(pod.get("metadata")))
    yield from _spec(predictor, _mapping(pod.get("spec")))


def _spec(predictor: PredictorWorkload, spec: Mapping[str, Any]) -> Iterator[FieldViolation]:
    for name, value in spec.items():
        if name in _DANGEROUS and value:
            yield FieldViolation(f"pod.spec.{name}", "must not be set: it gives access to a node or to an identity")
    yield from _only(spec, (*_FIELDS, *_DANGEROUS), "pod.spec")
    if str(spec.get("priorityClassName", "")).startswith("system-"):
        yield FieldViolation("pod.spec.priorityClassName", "must not be a class of the system")
    if "securityContext" in spec:
        yield from check_security(spec["securityContext"], "pod.spec.securityContext")
    yield from _volumes(spec)
    for part in ("initContainers", "containers"):
        for where, container in _items(spec, part):
            yield from _container(predictor, container, where)
    yield from check_secrets(spec, "pod.spec")


def _metadata(metadata: Mapping[str, Any]) -> Iterator[FieldViolation]:
    yield from _only(metadata, ("labels", "annotations"), "pod.metadata")
    for part, refused in (("labels", _OWN_LABELS), ("annotations", _OWN_ANNOTATIONS)):
        for name, value in _mapping(metadata.get(part)).items():
            if name.startswith(("$", *refused)):
                yield FieldViolation(f"pod.metadata.{part}[{name}]", "must not be set: it is reserved")
            elif not isinstance(value, str):
                yield FieldViolation(f"pod.metadata.{part}[{name}]", "must be a string")


def _volumes(spec: Mapping[str, Any]) -> Iterator[FieldViolation]:
    for where, volume in _items(spec, "volumes"):
        if volume.get("name") in OWN_VOLUMES:
            yield FieldViolation(
                f"{where}.name", f"must be another name than those of Klever: {', '.join(OWN_VOLUMES)}"
            )
        for kind in volume.keys() - {"name", *_VOLUMES}:
            yield FieldViolation(f"{where}.{kind}", f"is not allowed: must be one of {', '.join(_VOLUMES)}")
        for index, source in enumerate(_mapping(volume.get("projected")).get("sources") or ()):
            if "serviceAccountToken" in source:
                at = f"{where}.projected.sources[{index}].serviceAccountToken"
                yield FieldViolation(at, "must not be set: it gives access to an identity")


def _container(predictor: PredictorWorkload, container: Mapping[str, Any], where: str) -> Iterator[FieldViolation]:
    name = container.get("name")
    if name == INITIALIZER:
        yield from _only(container, _INITIALIZER, where)
    elif name == SERVER and not predictor.image:
        yield from _only(container, _SERVER, where)
    elif name == SERVER:
        for field in container.keys() & set(_OF_THE_PREDICTOR):
            yield FieldViolation(f"{where}.{field}", f"must not be set here: set {field} of the predictor")
    elif predictor.trust is not Trust.CODE:
        yield FieldViolation(
            where, f"must be {SERVER} or {INITIALIZER}: another container is code, but the model is data"
        )
    if "securityContext" in container:
        yield from check_security(container["securityContext"], f"{where}.securityContext")
    if "volumeDevices" in container:
        yield FieldViolation(f"{where}.volumeDevices", "must not be set: it gives access to a node")
    yield from _mounts(container, where)
    yield from check_hosts(container, where)


def _mounts(container: Mapping[str, Any], where: str) -> Iterator[FieldViolation]:
    for at, mount in _items(container, "volumeMounts", where):
        path = str(mount.get("mountPath", ""))
        if mount.get("name") in OWN_VOLUMES:
            yield FieldViolation(f"{at}.name", "must be a volume of pod.spec.volumes")
        if f"{path}/".startswith(f"{ROOT}/"):
            yield FieldViolation(f"{at}.mountPath", f"must not be in {ROOT}, which belongs to Klever")


def _only(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> Iterator[FieldViolation]:
    for name in given.keys() - set(known):
        yield FieldViolation(f"{where}.{name}", f"is not supported: must be one of {', '.join(sorted(known))}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(parent: Mapping[str, Any], part: str, where: str = "pod.spec") -> Iterator[tuple[str, Mapping[str, Any]]]:
    items = parent.get(part)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        yield f"{where}.{part}[{index}]", _mapping(item)
