"""Conversion: the steps before and after a converter's program, which runs without a token and network.

`fetch` writes the model for the program to `input/`. `push` reads the program's `output/`, which is untrusted, because
the model's code may have written it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from klever import formats
from klever.artifacts import document, model, ormbfile
from klever.artifacts.metadata import SOURCE_LABEL, ModelMetadata
from klever.errors import InvalidError
from klever.inspection.inspector import inspect
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.tasks import report
from klever.tasks.effort import bounded
from klever.tasks.given import find_given, take_given
from klever.tasks.job import Job, Step, StepError, patiently, step

__all__ = ["fetch", "push"]

_MODEL = "model"


def fetch(job: Job) -> dict[str, Any]:
    """Pull and unpack the model, and write the program's request. Raises `StepError`."""
    layout = Layout(job.work / "layout")
    with RegistryClient(job.registries.resolve(job.model)) as client, step(Step.PULL):
        job.say(f"pulling {job.model}")
        pulled = patiently(job.model, lambda: model.pull(job.model, layout, client), job.say)
    if pulled.format != job.format:
        raise StepError(Step.RUN, f"{job.model} must have the format {job.format}, not {pulled.format or 'unknown'}")
    directory = job.work / "input"
    with step(Step.EXPORT):
        model.export(job.model, layout, directory, replace=True, limits=job.limits)
        take_given(job.work, directory / _MODEL)
    with step(Step.RUN), bounded(job.limits, f"the inspection of {job.model}"):
        code = job.format in inspect(directory / _MODEL, job.limits).code_formats
    if code and not job.allow_code:
        raise StepError(Step.RUN, f"{job.model} contains code, and its project does not allow code")
    request = {
        "model": str(directory / _MODEL),
        "output": str(job.work / "output" / _MODEL),
        "report": str(job.work / "output" / report.NAME),
        "metadata": document.encode(pulled.metadata),
        "options": dict(job.options),
        "code": code,
    }
    (directory / "request.json").write_text(json.dumps(request))
    job.say(f"converting {job.format} to {job.into}")
    return {"report": "fetched"}


def push(job: Job) -> dict[str, Any]:
    """Pack and push the program's output. Return `{digest, report}`. Raises `StepError`."""
    layout = Layout(job.work / "layout")
    with step(Step.RUN), bounded(job.limits, f"the signature of {job.target}"):
        compared = report.read(job.work / "output" / report.NAME)
        converted = _take(job)
        inspect(converted / _MODEL, job.limits)
        formats.check_layout(job.into, converted / _MODEL)
        source = model.inspect(job.model, layout)
        metadata = _metadata(job, source, converted)
    with step(Step.SAVE):
        ormbfile.write_ormbfile(converted / ormbfile.NAME, metadata)
        saved = model.save(converted, job.target, layout, created=datetime.now(UTC))
    with step(Step.RUN):
        job.limits.check("config_bytes", saved.metadata_size, "the metadata with the signature")
    with RegistryClient(job.registries.resolve(job.target)) as client, step(Step.PUSH):
        job.say(f"pushing {job.target}")
        patiently(job.target, lambda: model.push(job.target, layout, client), job.say)
        if compared:
            patiently(job.target, lambda: report.attach(compared, source, saved, layout, client), job.say)
    summary = f"; {report.summarize(compared)}" if compared else ""
    return {
        "digest": str(saved.manifest.digest),
        "report": f"converted {job.model} from {job.format} to {job.into}{summary}",
    }


def _take(job: Job) -> Path:
    """Move the converted model into a clean directory."""
    converted = job.work / "converted"
    converted.mkdir()
    try:
        (job.work / "output" / _MODEL).rename(converted / _MODEL)
    except OSError as error:
        raise InvalidError(f"the converter wrote no model: {error.strerror}") from error
    if (converted / _MODEL).is_symlink() or not (converted / _MODEL).is_dir():
        raise InvalidError("the converter wrote no model: its output must be a directory")
    return converted


def _metadata(job: Job, source: model.SavedModel, converted: Path) -> ModelMetadata:
    """Return the source's metadata with the converted model's format and signature, and a link to the source.

    There is no link if the job received other files.
    """
    format_ = formats.get(job.into)
    signature = None
    if format_.extractable:
        job.say(f"reading the signature of {job.into}")
        signature = format_.read_signature(converted / _MODEL, job.limits)
    labels = {name: value for name, value in source.metadata.labels.items() if name != SOURCE_LABEL}
    if find_given(job.work) is None:
        labels[SOURCE_LABEL] = str(source.manifest.digest)
    return replace(source.metadata, format=job.into, signature=signature, labels=labels, created="", files=())
