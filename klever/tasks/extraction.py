"""Extraction: inspects the content, reads the signature, and writes it to the metadata if the tag has not moved."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from klever import formats
from klever.artifacts import model
from klever.errors import ConflictError, InvalidError, KleverError
from klever.inspection.inspector import inspect
from klever.inspection.verdict import inspection_spec
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.tasks.effort import bounded
from klever.tasks.job import Job, Step, StepError, patiently, step

__all__ = ["run"]


def run(job: Job) -> dict[str, Any]:
    """Return `{digest, report, inspection}`. It is idempotent.

    `digest` is the manifest that the target names now. `inspection` is the spec of a ModelInspection; a `StepError` of
    a later step contains it, too. If the signature of the format cannot be read, nothing is written.
    """
    layout = Layout(job.work / "layout")
    client = RegistryClient(job.registries.resolve(job.model))
    try:
        with step(Step.PULL):
            job.say(f"pulling {job.model}")
            pulled = patiently(job.model, lambda: model.pull(job.model, layout, client), job.say)
        if pulled.format != job.format:
            raise StepError(
                Step.RUN, f"{job.model} must have the format {job.format}, not {pulled.format or 'unknown'}"
            )
        directory = job.work / "model"
        _export(job, layout, directory)
    finally:
        client.close()
    with step(Step.RUN), bounded(job.limits, f"the inspection of {job.model}"):
        job.say("inspecting its files")
        inspection = inspection_spec(inspect(directory / "model", job.limits), str(pulled.digest))
    try:
        written = _extract(job, layout, pulled, directory / "model")
    except StepError as error:
        error.result = {"inspection": inspection}
        raise
    return {**written, "inspection": inspection}


def _export(job: Job, layout: Layout, directory: Path) -> None:
    """Unpack the model. An invalid archive is a fault of the model, so the job must not be retried."""
    try:
        with step(Step.EXPORT):
            model.export(job.model, layout, directory, replace=True, limits=job.limits)
    except StepError as error:
        if isinstance(error.__cause__, InvalidError):
            raise StepError(Step.RUN, error.message) from error
        raise


def _extract(job: Job, layout: Layout, pulled: model.SavedModel, directory: Path) -> dict[str, Any]:
    format_ = formats.get(job.format)
    if job.inspect_only or not format_.extractable:
        report = "inspected" if job.inspect_only else f"inspected; signatures of {job.format} models cannot be read yet"
        return {"digest": str(pulled.manifest.digest), "report": report}
    with step(Step.RUN), bounded(job.limits, f"the signature of {job.model}"):
        job.say(f"reading the signature of {job.format}")
        signature = format_.read_signature(directory, job.limits)
    return _write(job, layout, pulled, signature)


def _write(job: Job, layout: Layout, pulled: model.SavedModel, signature: formats.Signature) -> dict[str, Any]:
    report = f"inputs: {len(signature.inputs)}, outputs: {len(signature.outputs)}, operators: {len(signature.layers)}"
    same_target = job.target == job.model
    if same_target and pulled.metadata.signature == signature:
        job.say("the version already has its signature")
        return {"digest": str(pulled.manifest.digest), "report": report}
    with step(Step.SAVE):
        if not same_target:
            model.tag(job.model, job.target, layout)
        saved = model.rewrite(job.target, layout, replace(pulled.metadata, signature=signature))
        job.limits.check("config_bytes", saved.metadata_size, "the metadata with the signature")
    job.say(f"pushing {job.target}")
    target_client = RegistryClient(job.registries.resolve(job.target))
    try:
        expected = pulled.manifest.digest if same_target else None
        push = partial(model.push, job.target, layout, target_client, expected=expected)
        patiently(job.target, push, job.say)
    except ConflictError as error:
        raise StepError(
            Step.PUSH, f"{job.target} was pushed again meanwhile: another job reads the new version"
        ) from error
    except KleverError as error:
        raise StepError(Step.PUSH, error.message) from error
    finally:
        target_client.close()
    return {"digest": str(saved.manifest.digest), "report": report}
