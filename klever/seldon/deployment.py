"""A SeldonDeployment as a Serving."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from klever.errors import FieldViolation, InvalidError
from klever.seldon.containers import Fields
from klever.seldon.predictors import read_annotations, read_predictor
from klever.seldon.sections import Report, Section, filled
from klever.seldon.traffic import Routed, route

__all__ = ["Imported", "import_deployment"]

_GROUP: Final = "machinelearning.seldon.io"
_VERSIONS: Final = ("v1", "v1alpha2", "v1alpha3")
_KIND: Final = "SeldonDeployment"
_SERVER_FIELDS: Final = (
    "creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid",
)  # fmt: skip
"""Fields of the metadata that belong to the old object alone."""
_OPEN_INFERENCE: Final = ("", "kfserving", "v2")


class Imported(NamedTuple):
    """A Serving, and the fields of the SeldonDeployment that it cannot express."""

    serving: Fields
    warnings: tuple[FieldViolation, ...]


def import_deployment(document: Any) -> Imported:
    """Return the Serving. Raises `InvalidError` with a violation for each field that prevents it."""
    report = Report()
    root = Section(document, "", report)
    version, kind = root.text("apiVersion"), root.text("kind")
    if kind != _KIND or version not in [f"{_GROUP}/{known}" for known in _VERSIONS]:
        raise InvalidError(f"cannot import kind {kind!r} of apiVersion {version!r}: expected {_KIND} of {_GROUP}/v1")
    metadata = _metadata(root.section("metadata"))
    spec = _spec(root.section("spec"), str(metadata.get("name", "")))
    root.discard("status")
    root.close()
    if report.errors:
        raise InvalidError(violations=tuple(report.errors))
    serving = {"apiVersion": "kleveross.io/v1alpha1", "kind": "Serving", "metadata": metadata, "spec": spec}
    return Imported(serving, tuple(report.warnings))


def _metadata(metadata: Section) -> Fields:
    name, namespace, labels = metadata.text("name"), metadata.text("namespace"), metadata.take(("labels",))
    if not name:
        metadata.error("name", "is required")
    metadata.discard(*_SERVER_FIELDS)
    annotations = read_annotations(metadata)
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    metadata.close()
    return filled({"name": name, "namespace": namespace} | labels | {"annotations": annotations})


def _spec(spec: Section, serving: str) -> Fields:
    name, replicas, default = spec.text("name"), spec.integer("replicas"), spec.text("defaultPredictor")
    if name not in ("", serving):
        spec.warn("name", f"is not imported: the name of the Serving, {serving!r}, is also in its URL")
    _protocol(spec)
    for unknown in read_annotations(spec):
        spec.warn("annotations", f"{unknown!r} is not imported: set it in the metadata or in the predictors")
    predictors, deadlines = [], []
    for predictor in spec.sections("predictors"):
        deadlines.append(predictor.integer("progressDeadlineSeconds"))
        if routed := _predictor(predictor, serving):
            predictors.append(routed)
    deadline = max((seconds for seconds in deadlines if seconds is not None), default=None)
    route(spec, default, predictors)
    spec.close()
    return filled(
        {
            "replicas": replicas,
            "strategy": filled({"progressDeadlineSeconds": deadline}),
            "predictors": [routed.fields for routed in predictors],
        }
    )


def _predictor(predictor: Section, serving: str) -> Routed | None:
    """Return a predictor; none for a shadow, whose responses no caller gets."""
    if predictor.value("shadow"):
        predictor.report.warn(predictor.path(), "is not imported: a Serving sends no copies of requests to a shadow")
        return None
    routed = Routed.read(predictor)
    fields = read_predictor(predictor, serving)
    predictor.close()
    return routed._replace(fields=fields)


def _protocol(spec: Section) -> None:
    """Every Serving answers over HTTP and gRPC, so `transport` says nothing."""
    spec.discard("transport")
    protocol = spec.text("protocol")
    if protocol not in _OPEN_INFERENCE:
        spec.warn("protocol", f"{protocol!r} is not imported: Klever's runtimes answer the Open Inference Protocol")
    kind = spec.text("serverType")
    if kind not in ("", "rpc"):
        spec.error("serverType", f"must be rpc, not {kind!r}: a Serving answers requests")
