"""`hpaSpec` of a component, as `autoscaling` of a predictor."""

from __future__ import annotations

from klever.seldon.containers import Fields
from klever.seldon.sections import Section, filled

__all__ = ["read_autoscaling"]


def read_autoscaling(component: Section) -> Fields:
    """Return the bounds and the first metric. Seldon has metrics of the version v2 in a field of their own."""
    spec = component.section("hpaSpec")
    if not spec:
        return {}
    found: Fields = {"min": spec.integer("minReplicas"), "max": spec.integer("maxReplicas")}
    metrics = [metric for name in ("metricsv2", "metrics") for metric in spec.sections(name)]
    spec.close()
    if not metrics:
        spec.error("metricsv2", "must have a metric")
    for index, metric in enumerate(metrics):
        if index:
            metric.report.warn(metric.path(), "is not imported: one metric decides in a Serving")
        else:
            found |= _metric(metric)
    return filled(found)


def _metric(metric: Section) -> Fields:
    kind = metric.text("type")
    if kind == "Resource":
        return _resource(metric.section("resource"))
    if kind == "Pods":
        return _pods(metric.section("pods"))
    metric.error("type", f"must be Resource or Pods, not {kind!r}")
    return {}


def _resource(resource: Section) -> Fields:
    name, target = resource.text("name"), resource.section("target")
    percent = target.integer("averageUtilization") if target else resource.integer("targetAverageUtilization")
    target.discard("type")
    target.close()
    resource.close()
    if name not in ("cpu", "memory") or percent is None:
        resource.error("", "must be the average utilization of cpu or memory")
        return {}
    return {name: percent}


def _pods(pods: Section) -> Fields:
    target, metric = pods.section("target"), pods.section("metric")
    name = metric.text("name") if metric else pods.text("metricName")
    average = target.value("averageValue") if target else pods.value("targetAverageValue")
    target.discard("type")
    for section in (target, metric, pods):
        section.close()
    return {"metric": {"name": name, "average": str(average)}}
