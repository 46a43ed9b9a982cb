"""The pod of a predictor: its server, the pull of its model, and what else the pod has."""

from __future__ import annotations

from typing import Final, NamedTuple

from klever.seldon.containers import RUNTIME_SECURITY, Fields, read_container, read_security
from klever.seldon.graph import Graph, check_reference
from klever.seldon.sections import Section, filled

__all__ = ["Pod", "read_pod"]

_PASSED: Final = (
    "affinity", "dnsConfig", "dnsPolicy", "hostAliases", "hostname", "nodeSelector",
    "preemptionPolicy", "priorityClassName", "runtimeClassName", "schedulerName", "subdomain",
    "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints",
)  # fmt: skip
"""The fields of a pod that a predictor's `pod` has as well."""
_INITIALIZER: Final = "model-initializer"
_SERVER: Final = "server"
_MODELS: Final = "models-mnt"
"""The volume of the model, as the predecessor writes it."""
_DEFAULTS: Final = {"restartPolicy": "Always", "schedulerName": "default-scheduler", "dnsPolicy": "ClusterFirst"}


class Pod(NamedTuple):
    """Fields of the predictor, a patch of the pod's spec, and the model that the initializer pulls."""

    fields: Fields
    spec: Fields
    model: str


def read_pod(pod: Section, graph: Graph, serving: str) -> Pod:
    """Read the spec of a pod. One container must be the server of the graph."""
    metadata = pod.section("metadata")
    metadata.discard("name", "creationTimestamp")
    metadata.close()
    server, sidecars = _server(pod, graph)
    initializers, model, own = _initializers(pod)
    mounts = [mount for mount in server.mappings("volumeMounts") if str(mount.get("name")) not in own]
    fields, patch = read_container(server, serving, graph.ports)
    server.close()
    volumes = _volumes(pod, own)
    spec = _passed(pod) | {"volumes": volumes}
    if fields.get("image"):
        spec |= read_security(pod) | pod.take(("imagePullSecrets",))
    pod.drop(RUNTIME_SECURITY, "securityContext", "imagePullSecrets")
    patch = filled(patch | {"volumeMounts": mounts})
    spec |= {"initContainers": initializers, "containers": [{"name": _SERVER} | patch, *sidecars][not patch :]}
    pod.close()
    return Pod(filled(fields), filled(spec), model)


def _server(pod: Section, graph: Graph) -> tuple[Section, list[Fields]]:
    """Return the container that has the name of the graph, or is the only one; and the others as they are."""
    path = pod.path("containers")
    containers = pod.mappings("containers")
    named = [index for index, container in enumerate(containers) if container.get("name") == graph.name]
    index = named[0] if named else 0
    if len(containers) != 1 and not named:
        pod.report.error(path, f"must have a container with the name of the graph, {graph.name!r}")
    server = Section(containers[index] if containers else None, f"{path}[{index}]", pod.report)
    server.discard("name")
    return server, containers[:index] + containers[index + 1 :]


def _initializers(pod: Section) -> tuple[list[Fields], str, set[str]]:
    """Return the init containers but the one that pulls the model; that model, and the volumes for it."""
    path, own, model, others = pod.path("initContainers"), {_MODELS}, "", []
    for index, container in enumerate(pod.mappings("initContainers")):
        if not str(container.get("name")).endswith(_INITIALIZER):
            others.append(container)
            continue
        initializer = Section(container, f"{path}[{index}]", pod.report)
        model = next(iter(initializer.texts("args")), "")
        check_reference(initializer, "args[0]", model)
        own |= {str(mount.get("name")) for mount in initializer.mappings("volumeMounts")}
        initializer.discard("name")
        fields = ", ".join(sorted(initializer.names()))
        pod.report.warn(initializer.path(), f"is replaced by Klever's own pull of the model, without its {fields}")
    return others, model, own


def _volumes(pod: Section, own: set[str]) -> list[Fields]:
    """Return the volumes without those of the model."""
    others = []
    for volume in pod.sections("volumes"):
        fields = volume.take(list(volume.names()))
        if str(fields.get("name")) not in own:
            others.append(fields)
        elif fields.keys() - {"name", "emptyDir"} or fields.get("emptyDir"):
            pod.report.warn(volume.path(), "is not imported: Klever has its own volume for the model")
    return others


def _passed(pod: Section) -> Fields:
    return {
        name: value
        for name, value in pod.take(dict.fromkeys((*_PASSED, *_DEFAULTS))).items()
        if value != _DEFAULTS.get(name)
    }
