"""The container of a replica's server: a runtime of Klever, or an image of the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from klever.backends import PredictorWorkload
from klever.backends.kubernetes.layout import PORTS, ROOT
from klever.backends.kubernetes.settings import Image, ReplicaSettings
from klever.kube.pods import RESTRICTED

__all__ = ["SERVER", "own_server", "runtime_server"]

SERVER: Final = "server"
_PROBE_S: Final = 10
_STARTUP_PROBE_S: Final = 2
_STARTUP_FAILURES: Final = 300
_STORE: Final = "/mnt"
"""Where an image finds models, unless its environment names another MODEL_STORE."""
_TEMPORARY: Final = "/tmp"  # noqa: S108 - of the container
_SHARED: Final = (
    {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - of the container
    {"name": "temporary", "mountPath": _TEMPORARY},
)


def runtime_server(predictor: PredictorWorkload, image: Image, settings: ReplicaSettings) -> dict[str, Any]:
    """Return the container of a runtime. It starts, and is probed, as the initializer has laid it out."""
    work = str(ROOT / "work")
    probe = {"exec": {"command": [image.python, "-I", str(ROOT / "probe.py"), str(ROOT)]}, "timeoutSeconds": 60}
    return {
        "name": SERVER,
        "image": image.name,
        "command": [image.python, "-I", str(ROOT / "start.py"), str(ROOT)],
        "env": [*predictor.env, {"name": "HOME", "value": work}, {"name": "TMPDIR", "value": work}],
        "ports": [{"name": name, "containerPort": port} for name, port in PORTS.items()],
        **_common(predictor, probe, settings),
        "volumeMounts": [
            {"name": "replica", "mountPath": str(ROOT), "readOnly": True},
            {"name": "replica", "mountPath": work, "subPath": "work"},
            *_SHARED,
        ],
    }


def own_server(predictor: PredictorWorkload, serving: str, settings: ReplicaSettings) -> dict[str, Any]:
    """Return the container of a user's image. It is ready when its port is open, or its probe path succeeds."""
    ports = dict(predictor.ports or PORTS)
    given = {one["name"]: one.get("value", "") for one in predictor.env}
    store = given.get("MODEL_STORE") or _STORE
    model = {"name": "replica", "mountPath": f"{store}/{serving}", "subPath": "model", "readOnly": True}
    return {
        "name": SERVER,
        "image": predictor.image,
        **({"command": list(predictor.command)} if predictor.command else {}),
        **({"args": list(predictor.args)} if predictor.args else {}),
        "env": [*predictor.env, *_variables(given, _contract(store, serving, ports))],
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        **_common(predictor, _own_probe(predictor, ports), settings),
        "volumeMounts": [*([model] if predictor.model else []), *_SHARED],
    }


def _contract(store: str, serving: str, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the variables that a server reads, as in the container contract of a custom command."""
    named = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
    first = str(ports.get("http") or next(iter(ports.values())))
    home = {"HOME": _TEMPORARY, "TMPDIR": _TEMPORARY}
    return {"MODEL_STORE": store, "SERVING_NAME": serving, "HOST": "0.0.0.0", "PORT": first, **named, **home}  # noqa: S104 - for its pod


def _variables(given: Mapping[str, Any], values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items() if name not in given]


def _own_probe(predictor: PredictorWorkload, ports: Mapping[str, int]) -> dict[str, Any]:
    name = "http" if "http" in ports else next(iter(ports))
    if predictor.probe_path:
        return {"httpGet": {"path": predictor.probe_path, "port": name}, "timeoutSeconds": 60}
    return {"tcpSocket": {"port": name}, "timeoutSeconds": 60}


def _common(predictor: PredictorWorkload, probe: Mapping[str, Any], settings: ReplicaSettings) -> dict[str, Any]:
    return {
        "resources": dict(predictor.resources),
        "startupProbe": {**probe, "periodSeconds": _STARTUP_PROBE_S, "failureThreshold": _STARTUP_FAILURES},
        "readinessProbe": {**probe, "periodSeconds": _PROBE_S},
        "lifecycle": {"preStop": {"sleep": {"seconds": settings.drain_s}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": RESTRICTED,
    }
