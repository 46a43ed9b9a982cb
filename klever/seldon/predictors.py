"""A predictor of a SeldonDeployment, without its share of the traffic."""

from __future__ import annotations

from typing import Final

from klever.seldon.containers import Fields
from klever.seldon.graph import Graph, read_graph
from klever.seldon.pods import Pod, read_pod
from klever.seldon.scaling import read_autoscaling
from klever.seldon.sections import Section, filled

__all__ = ["read_annotations", "read_predictor"]

_SELDON: Final = "seldon.io/"
_ENGINE: Final = "seldon.io/no-engine"
_NO_ENGINE: Final = "is not imported: a Serving has no engine, the gateway sends requests to the model's server"
_KUBERNETES: Final = "is imported, and works on Kubernetes only"


def read_predictor(predictor: Section, serving: str) -> Fields:
    """Return the fields of a predictor but `traffic` and `matches`."""
    name, replicas = predictor.text("name"), predictor.integer("replicas")
    graph = read_graph(predictor.section("graph"))
    predictor.drop(_NO_ENGINE, "svcOrchSpec", "engineResources")
    component = _component(predictor)
    metadata = _metadata(predictor, component.section("metadata"))
    own = component.integer("replicas")
    autoscaling = read_autoscaling(component)
    pod = _pod(component, graph, serving)
    component.close()
    patch = {"metadata": metadata, "spec": pod.spec}
    fields = {"replicas": own if own is not None else replicas, "autoscaling": autoscaling, "pod": filled(patch)}
    found = {"name": name, "model": _model(predictor, graph, pod)} | pod.fields | fields
    for field in ("autoscaling", "image", "pod"):
        if found.get(field):
            predictor.report.warn(predictor.path(field), _KUBERNETES)
    return filled(found)


def read_annotations(section: Section) -> dict[str, object]:
    """Return the annotations that do not instruct Seldon."""
    annotations = section.section("annotations")
    annotations.discard(_ENGINE)
    annotations.drop(
        "is not imported: it configures Seldon", *(n for n in annotations.names() if n.startswith(_SELDON))
    )
    return annotations.take(annotations.names())


def _metadata(predictor: Section, component: Section) -> Fields:
    """Return the labels and annotations of the pods, which a predictor and its component have."""
    component.discard("name", "creationTimestamp")
    annotations: Fields = {}
    labels: Fields = {}
    for section in (predictor, component):
        annotations |= read_annotations(section)
        given = section.section("labels")
        labels |= given.take(given.names())
    component.close()
    return filled({"annotations": annotations, "labels": labels})


def _component(predictor: Section) -> Section:
    components = predictor.sections("componentSpecs")
    if len(components) > 1:
        predictor.error("componentSpecs", f"must have one component, not {len(components)}: a predictor has one server")
    return components[0] if components else Section(None, predictor.path("componentSpecs"), predictor.report)


def _pod(component: Section, graph: Graph, serving: str) -> Pod:
    spec = component.section("spec")
    if spec or not graph.is_prepackaged:
        return read_pod(spec, graph, serving)
    return Pod({}, {}, "")


def _model(predictor: Section, graph: Graph, pod: Pod) -> str:
    """Return the model of the init container, which the pod serves, if there is one."""
    if pod.model and graph.model and pod.model != graph.model:
        where = f"{predictor.path('graph')}.modelUri"
        predictor.report.warn(where, f"is not imported: the init container pulls {pod.model!r}")
    return pod.model or graph.model
