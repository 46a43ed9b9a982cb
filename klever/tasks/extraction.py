"""Extraction: read the signature and write it into the metadata, under the same tag if that has not moved."""

from __future__ import annotations

from functools import partial
from typing import Any

from klever import formats
from klever.errors import ConflictError, KleverError
from klever.oci import model
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.tasks.job import Job, Step, StepError, patiently, step

__all__ = ["run"]


def run(job: Job) -> dict[str, Any]:
    """Return `{digest, report}`: the manifest's digest that the target names now. Running it again changes nothing."""
    layout = Layout(job.work / "layout")
    client = RegistryClient(job.registries.resolve(job.model))
    try:
        with step(Step.PULL):
            job.say(f"pulling {job.model}")
            pulled = patiently(job.model, lambda: model.pull(job.model, layout, client), job.say)
        if pulled.format != job.format:
            raise StepError(Step.RUN, f"{job.model} is of the format {pulled.format or 'unknown'}, not {job.format}")
        with step(Step.EXPORT):
            directory = job.work / "model"
            model.export(job.model, layout, directory, replace=True)
        with step(Step.RUN):
            job.say(f"reading the signature of {job.format}")
            signature = formats.get(job.format).read_signature(directory / "model", job.limits)
        return _write(job, layout, pulled, signature)
    finally:
        client.close()


def _write(job: Job, layout: Layout, pulled: model.SavedModel, signature: formats.Signature) -> dict[str, Any]:
    report = f"inputs: {len(signature.inputs)}, outputs: {len(signature.outputs)}, operators: {len(signature.layers)}"
    same_target = job.target == job.model
    if same_target and pulled.config.signature == signature:
        job.say("the signature is there already")
        return {"digest": str(pulled.manifest.digest), "report": report}
    with step(Step.SAVE):
        config = pulled.config.with_signature(signature)
        job.limits.check("config_bytes", len(config.encode()), "the metadata with the signature")
        if not same_target:
            model.tag(job.model, job.target, layout)
        saved = model.rewrite(job.target, layout, config)
    job.say(f"pushing {job.target}")
    target_client = RegistryClient(job.registries.resolve(job.target))
    try:
        expected = pulled.manifest.digest if same_target else None
        push = partial(model.push, job.target, layout, target_client, expected=expected)
        patiently(job.target, push, job.say)
    except ConflictError as error:
        raise StepError(
            Step.PUSH, f"{job.target} was pushed anew meanwhile: what it names now is read by another job"
        ) from error
    except KleverError as error:
        raise StepError(Step.PUSH, error.message) from error
    finally:
        target_client.close()
    return {"digest": str(saved.manifest.digest), "report": report}
