"""Renders a predictor's launch, with the directories and ports of a container as placeholders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from klever.backends import Instance, InstancePhase, PredictorWorkload, Rendering
from klever.process.variables import variables
from klever.runtimes import Launch, Model, Placement, Runtime

__all__ = ["render"]


def render(runtime: Runtime, model: Model, predictor: PredictorWorkload) -> Rendering:
    """Return the generated configuration and the command. Raises `InvalidError` for a model that cannot be served."""
    at = Placement(
        host="127.0.0.1",
        http_port=8000,
        grpc_port=8001,
        metrics_port=8002,
        store=PurePosixPath("/mnt"),
        work=PurePosixPath("/tmp"),  # noqa: S108 - of a container
        model=PurePosixPath("/models"),
        environments={name: PurePosixPath("/environments", name) for name in runtime.environments(model)},
        env=variables(predictor.env),
        command=predictor.command,
        probe_path=predictor.probe_path,
        tuning=predictor.tuning,
    )
    launch = runtime.launch(model, at)
    ready = Instance(
        name=predictor.predictor,
        predictor=predictor.predictor,
        workload=predictor.id,
        phase=InstancePhase.READY,
        http=launch.http,
        grpc=launch.grpc,
    )
    return Rendering(dict(_files(launch)), ready)


def _files(launch: Launch) -> Iterator[tuple[str, str]]:
    for path, content in launch.files.items():
        if path.endswith((".pbtxt", ".json")):
            yield path, content.decode()
    yield "command", " ".join(launch.argv) + "\n"
