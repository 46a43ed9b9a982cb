"""Conversion: what comes before and after a converter's program, which runs with neither token nor network.

`fetch` leaves the model for the program in `input/`. `push` reads what the program wrote to `output/`, and trusts none
of it: it may be the model's own.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from klever import formats
from klever.artifacts import model, ormbfile
from klever.artifacts.config import ModelConfig
from klever.errors import InvalidError
from klever.inspection.inspector import inspect
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.tasks.job import Job, Step, StepError, patiently, step

__all__ = ["fetch", "push"]

_MODEL = "model"
_OF_THE_SOURCE = ("format", "signature", "created")
"""Fields of the metadata that the converted model does not inherit."""


def fetch(job: Job) -> dict[str, Any]:
    """Pull and unpack the model, and write the program's request. Raises `StepError`."""
    layout = Layout(job.work / "layout")
    with RegistryClient(job.registries.resolve(job.model)) as client, step(Step.PULL):
        job.say(f"pulling {job.model}")
        pulled = patiently(job.model, lambda: model.pull(job.model, layout, client), job.say)
    if pulled.format != job.format:
        raise StepError(Step.RUN, f"{job.model} is of the format {pulled.format or 'unknown'}, not {job.format}")
    directory = job.work / "input"
    with step(Step.EXPORT):
        model.export(job.model, layout, directory, replace=True, limits=job.limits)
    with step(Step.RUN):
        code = job.format in inspect(directory / _MODEL, job.limits).code_formats
    if code and not job.allow_code:
        raise StepError(Step.RUN, f"{job.model} holds code, and its project does not allow code")
    request = {
        "model": str(directory / _MODEL),
        "output": str(job.work / "output" / _MODEL),
        "metadata": dict(pulled.config.document),
    }
    (directory / "request.json").write_text(json.dumps(request))
    job.say(f"converting {job.format} to {job.into}")
    return {"report": "fetched"}


def push(job: Job) -> dict[str, Any]:
    """Pack and push what the program wrote; returns `{digest, report}`. Raises `StepError`."""
    layout = Layout(job.work / "layout")
    with step(Step.RUN):
        converted = _take(job)
        inspect(converted / _MODEL, job.limits)
        formats.check_layout(job.into, converted / _MODEL)
        config = _metadata(job, model.inspect(job.model, layout).config, converted)
    with step(Step.SAVE):
        ormbfile.write_ormbfile(converted / ormbfile.NAME, config.document)
        saved = model.save(converted, job.target, layout, created=datetime.now(UTC))
    with RegistryClient(job.registries.resolve(job.target)) as client, step(Step.PUSH):
        job.say(f"pushing {job.target}")
        patiently(job.target, lambda: model.push(job.target, layout, client), job.say)
    return {"digest": str(saved.manifest.digest), "report": f"converted {job.model} from {job.format} to {job.into}"}


def _take(job: Job) -> Path:
    """Move the converted model into a directory in which the program has written nothing."""
    converted = job.work / "converted"
    converted.mkdir()
    try:
        (job.work / "output" / _MODEL).rename(converted / _MODEL)
    except OSError as error:
        raise InvalidError(f"the converter wrote no model: {error.strerror}") from error
    if (converted / _MODEL).is_symlink() or not (converted / _MODEL).is_dir():
        raise InvalidError("the converter wrote no model: its output must be a directory")
    return converted


def _metadata(job: Job, source: ModelConfig, converted: Path) -> ModelConfig:
    """Return the source's metadata with the format and the signature of the converted model."""
    kept = {name: value for name, value in source.document.items() if name not in _OF_THE_SOURCE}
    config = ModelConfig.of({**kept, "format": job.into})
    format_ = formats.get(job.into)
    if not format_.extractable:
        return config
    job.say(f"reading the signature of {job.into}")
    config = config.with_signature(format_.read_signature(converted / _MODEL, job.limits))
    job.limits.check("config_bytes", len(config.encode()), "the metadata with the signature")
    return config
