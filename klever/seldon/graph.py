"""The graph of a predictor: which model it serves, and with which of Seldon's own servers."""

from __future__ import annotations

from typing import Final, NamedTuple

from klever.errors import InvalidError
from klever.oci.reference import Reference
from klever.seldon.sections import Section

__all__ = ["Graph", "check_reference", "read_graph"]

_PREPACKAGED: Final = frozenset(
    {"MLFLOW_SERVER", "SKLEARN_SERVER", "TENSORFLOW_SERVER", "TRITON_SERVER", "XGBOOST_SERVER"}
)
"""The servers whose models Klever serves on runtimes of its own."""
_CUSTOM: Final = ("", "UNKNOWN_IMPLEMENTATION")
_REGISTRY: Final = "must be a reference of a registry, PROJECT/MODEL:TAG: push the model there with `ormb push`"


class Graph(NamedTuple):
    """The only node: its name, its model, whether a server of Seldon loads it, and the ports that it names."""

    name: str
    model: str
    is_prepackaged: bool
    ports: dict[str, int]


def read_graph(graph: Section) -> Graph:
    name, model = graph.text("name"), graph.text("modelUri")
    check_reference(graph, "modelUri", model)
    implementation = graph.text("implementation")
    if implementation not in (*_CUSTOM, *_PREPACKAGED):
        graph.error(
            "implementation", f"{implementation!r} is not served: Klever serves {', '.join(sorted(_PREPACKAGED))}"
        )
    elif implementation in _PREPACKAGED:
        why = f"{implementation} is replaced by the runtime that Klever chooses by the model's format"
        graph.warn("implementation", why)
    _check_node(graph)
    ports = _ports(graph.section("endpoint"))
    account = graph.text("serviceAccountName")
    if account not in ("", "default"):
        graph.warn("serviceAccountName", "is not imported: a pod of a Serving has no identity in the cluster")
    graph.drop("Klever reads the model with the credentials of its registries", "envSecretRefName")
    graph.close()
    return Graph(name, model, implementation not in _CUSTOM, ports)


def check_reference(section: Section, name: str, reference: str) -> None:
    """Report a model that is not in a registry, such as `gs://BUCKET/MODEL`."""
    if "://" in reference:
        section.error(name, f"{_REGISTRY}, not {reference!r}")
        return
    try:
        if reference:
            Reference.parse(reference)
    except InvalidError as error:
        section.error(name, error.message)


def _check_node(graph: Section) -> None:
    kind = graph.text("type")
    if kind not in ("", "MODEL", "UNKNOWN_TYPE"):
        graph.error("type", f"must be MODEL, not {kind!r}: a Serving has no other nodes")
    if graph.value("children"):
        graph.error("children", "must be empty: a predictor of a Serving has one model")
    for parameter in graph.sections("parameters"):
        if parameter.text("name") == "format":  # Klever reads it from the model
            parameter.discard("value", "type")
            parameter.close()
        elif parameter:
            parameter.report.warn(parameter.path(), "is not imported: set the environment variables of the runtime")


def _ports(endpoint: Section) -> dict[str, int]:
    """Return the ports by protocol. The gateway serves both protocols on its own port."""
    is_grpc = endpoint.text("type").upper() == "GRPC"
    http, grpc = endpoint.integer("httpPort"), endpoint.integer("grpcPort")
    only = endpoint.integer("service_port")
    endpoint.close()
    if is_grpc:
        grpc = grpc or only
    else:
        http = http or only
    return {name: port for name, port in (("http", http), ("grpc", grpc)) if port}
