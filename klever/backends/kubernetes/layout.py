"""The directories of a replica in its pod, which the initializer lays out and the server reads.

/klever/model        the unpacked model
/klever/store        MODEL_STORE: the runtime's files, and links to the model
/klever/work         where the server writes
/klever/launch.json  how the server is started and probed
/klever/start.py     starts it
/klever/probe.py     probes it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any, Final

from klever.disk import disk_errors
from klever.runtimes import Launch, Model, Placement, Runtime
from klever.runtimes.tuning import Tuning

__all__ = ["GRPC_PORT", "HTTP_PORT", "METRICS_PORT", "PORTS", "ROOT", "lay_out"]

ROOT: Final = PurePosixPath("/klever")
HTTP_PORT: Final = 8000
GRPC_PORT: Final = 8001
METRICS_PORT: Final = 8002
PORTS: Final[Mapping[str, int]] = {"http": HTTP_PORT, "grpc": GRPC_PORT, "metrics": METRICS_PORT}
"""The ports of a workload's Service by name. A runtime listens on the same ones."""
_GPUS: Final = ("NVIDIA_VISIBLE_DEVICES",)
"""Runtimes set it to nothing. With GPUs, their device plugin sets it."""
_PROGRAMS: Final = ("start.py", "probe.py")


def lay_out(root: Path, runtime: Runtime, model: Model, predictor: Mapping[str, Any]) -> None:
    """Write everything of a replica but its model, which is in `root`/model. Raises `InvalidError` for the model.

    `predictor` has `env`, `command`, `probe_path`, `threads`, `tuning`, `gpus` (whether it has any), and
    `environments`, the directories of the runtime's environments by name. The paths in what is written are those of the
    pod.
    """
    runtime.check(model)
    launch = runtime.launch(model, _placement(predictor))
    with disk_errors(root):
        for name in ("store", "work"):
            (root / name).mkdir(exist_ok=True)
        for path, content in launch.files.items():
            _parent(root / "store" / path).write_bytes(content)
        for path, target in launch.links.items():
            link = _parent(root / "store" / path)
            link.unlink(missing_ok=True)
            link.symlink_to(ROOT / "model" / target)
        for program in _PROGRAMS:
            (root / program).write_text((files(__package__) / "programs" / program).read_text())
        (root / "launch.json").write_text(json.dumps(_document(launch, gpus=predictor["gpus"])))


def _placement(predictor: Mapping[str, Any]) -> Placement:
    return Placement(
        host="0.0.0.0",  # noqa: S104 - the Service and the kubelet reach it at the address of the pod
        http_port=HTTP_PORT,
        grpc_port=GRPC_PORT,
        metrics_port=METRICS_PORT,
        store=ROOT / "store",
        work=ROOT / "work",
        model=ROOT / "model",
        environments={name: PurePosixPath(path) for name, path in predictor["environments"].items()},
        env=predictor["env"],
        command=tuple(predictor["command"]),
        probe_path=predictor["probe_path"],
        threads=predictor["threads"],
        tuning=Tuning(**predictor.get("tuning", {})),  # older versions had none
    )


def _document(launch: Launch, *, gpus: bool) -> dict[str, Any]:
    probe = launch.health
    hidden = _GPUS if gpus else ()
    return {
        "argv": launch.argv,
        "env": {name: value for name, value in launch.env.items() if name not in hidden},
        "http": _loopback(launch.http),
        "probe": {
            "path": probe.path,
            "method": probe.method,
            "body": probe.body.decode("latin-1"),
            "headers": dict(probe.headers),
            "own_errors": [error.decode(errors="replace") for error in probe.own_errors],
            "zeros": probe.zeros,
            "address": _loopback(probe.address),
        },
    }


def _loopback(address: str) -> str:
    return f"127.0.0.1:{address.rpartition(':')[2]}" if address else ""


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
