"""The task of a job."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from klever import tasks
from klever.api.kinds import Object
from klever.converters import MemoryNeed
from klever.executors import RegistryAccess, Task
from klever.formats import Trust, least_trust
from klever.limits import Limits
from klever.oci.reference import Reference
from klever.process.resources import read_resources

__all__ = ["make_task"]


def make_task(job: Object, limits: Limits, *, allow_code: bool) -> Task:
    """Return the task of a job that passed `tasks.check`.

    Raises `InvalidError` for an invalid reference, and for more memory than the limit `job_memory_bytes`.
    """
    spec, metadata = job["spec"], job["metadata"]
    seconds, resources = limits.task_seconds, spec.get("resources", {})
    memory = read_resources(resources).memory_bytes
    limits.check("job_memory_bytes", memory, "the memory limit", "spec.resources.limits.memory")
    converter = tasks.conversion(spec)
    inputs = {name: spec.get(name) for name in ("model", "desiredTag", "extraction", "conversion")}
    return Task(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        module=tasks.module(spec),
        inputs={
            **inputs,
            "limits": asdict(limits),
            "allowCode": allow_code,
            "options": dict(converter.options) if converter else {},
        },
        registries=_registries(spec),
        environment=converter.environment if converter else "",
        program=str(converter.program) if converter else "",
        trust=least_trust(converter.source) if converter else Trust.DATA,
        env=tuple(spec.get("env", ())),
        init_containers=tuple(spec.get("initContainer", ())),
        timeout_s=float(min(spec.get("activeDeadlineSeconds", seconds), seconds)),
        memory_bytes=limits.task_memory_bytes,
        program_memory=converter.memory if converter else MemoryNeed(),
        most_memory_bytes=limits.job_memory_bytes,
        resources=resources,
    )


def _registries(spec: dict[str, Any]) -> tuple[RegistryAccess, ...]:
    """Return the task's access: it reads the model, and writes the desired tag, or the model if there is none."""
    model = Reference.parse(spec["model"])
    target = Reference.parse(spec["desiredTag"]) if spec.get("desiredTag") else model
    write = RegistryAccess(target.host, target.repository, push=True)
    return (RegistryAccess(model.host, model.repository), write)
