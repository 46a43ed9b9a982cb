"""The container of a predictor's server, as the fields of a predictor and of its pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from klever.kube.restricted import check_security
from klever.seldon.sections import Section, filled

__all__ = ["RUNTIME_SECURITY", "Fields", "read_container", "read_resources", "read_security"]

Fields = dict[str, Any]

RUNTIME_SECURITY: Final = "is not imported: Klever's runtimes have their own"
_PROBES: Final = ("readinessProbe", "startupProbe", "livenessProbe")
_PORTS: Final = ("http", "grpc", "metrics")
_DEFAULT_PORTS: Final = {"http": 9000, "grpc": 9500}
_LOWEST_PORT: Final = 1024
_PASSED: Final = ("imagePullPolicy", "envFrom", "workingDir")
_OWN_VARIABLES: Final = (("MODEL_STORE", None), ("NVIDIA_VISIBLE_DEVICES", ""))
"""The variables of a runtime that Klever sets itself: any value of them, or the given one."""
_SERVERS: Final = frozenset({"tritonserver", "openscoring", "mlserver"})
"""Images that a runtime of Klever replaces, by the last part of their names."""


def _is_own(image: str, command: Any) -> bool:
    """Whether an image is the user's own server: none of the platform's, or one that is started in another way."""
    repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return bool(image) and (repository not in _SERVERS or bool(command))


def read_container(container: Section, serving: str, ports: Mapping[str, int]) -> tuple[Fields, Fields]:
    """Return the fields of the predictor, and those of the container `server` of its pod."""
    image, command, args = container.text("image"), container.texts("command"), container.texts("args")
    resources = read_resources(container.section("resources"))
    if _is_own(image, command or args):
        probe, served = _probe_path(container), _ports(container, ports)
        env = _env(container, serving, ())
        own: Fields = {"image": image, "command": command, "args": args, "ports": served, "probePath": probe}
        return own | {"env": env, "resources": resources}, read_security(container) | container.take(_PASSED)
    if image:
        container.warn("image", f"{image!r} is replaced by the runtime that Klever chooses by the model's format")
    container.drop("is replaced by an inference as the probe", *_PROBES)
    container.drop(RUNTIME_SECURITY, "securityContext")
    container.discard("ports", "imagePullPolicy")  # those of the image
    return {"env": _env(container, serving, _OWN_VARIABLES), "resources": resources}, {}


def read_resources(resources: Section) -> Fields:
    quantities = {name: resources.section(name) for name in ("requests", "limits")}
    resources.close()
    return {name: {key: str(value.value(key)) for key in value.names()} for name, value in quantities.items() if value}


def read_security(parent: Section) -> Fields:
    """Return the security context of a pod or container, as far as the restricted standard of pods allows it."""
    context = parent.section("securityContext")
    kept: Fields = {}
    for name in context.names():
        field = {name: context.value(name)}
        why = next(iter(check_security(field, "")), None)
        if why is None:
            kept |= field
        else:
            context.warn(name, "is not imported: pods of a Serving run under the restricted pod standard")
    return filled({"securityContext": kept})


def _env(container: Section, serving: str, own: tuple[tuple[str, str | None], ...]) -> list[Fields]:
    """Return the variables without SERVING_NAME and those of the runtime, which Klever sets itself."""
    kept = []
    for variable in container.sections("env"):
        name, value = variable.text("name"), variable.text("value")
        source = variable.take(("valueFrom",))
        variable.close()
        if name == "SERVING_NAME" and value != serving:
            why = f"is {serving!r} in Klever: clients find the model under that name, at /v2/models/{serving}"
            variable.warn("value", why)
        elif name != "SERVING_NAME" and not {(name, value), (name, None)} & set(own):
            kept.append({"name": name, **(source or {"value": value})})
    return kept


def _ports(container: Section, named: Mapping[str, int]) -> list[Fields]:
    """Return the ports of the container, or else of the graph's endpoint, or else Seldon's default ports."""
    ports = {}
    for index, port in enumerate(container.sections("ports")):
        name, number = port.text("name") or _PORTS[min(index, 1)], port.integer("containerPort")
        port.discard("protocol")
        port.close()
        if name not in _PORTS:
            port.report.warn(port.path(), f"is not imported: the ports of a server are {', '.join(_PORTS)}")
        elif not number or number < _LOWEST_PORT:
            port.error("containerPort", f"must be at least {_LOWEST_PORT}: the server does not run as root")
        else:
            ports[name] = number
    return [{"name": name, "containerPort": port} for name, port in (ports or named or _DEFAULT_PORTS).items()]


def _probe_path(container: Section) -> str:
    """Return the path of the first probe over HTTP. Without one, an open port is the probe."""
    found = ""
    for name in _PROBES:
        probe = container.section(name)
        request = probe.section("httpGet")
        path = request.text("path")
        if request.value("scheme") == "HTTPS":
            request.error("scheme", "must be HTTP")
        request.discard("port")
        request.close()
        if found and path and path != found:
            request.warn("path", f"is not imported: the probe is {found}")
        found = found or path
        probe.close("is not imported: Klever has its own probe")
    return found
