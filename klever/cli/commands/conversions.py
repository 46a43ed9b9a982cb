"""Converts a version in a registry with a ModelJob."""

from __future__ import annotations

import re
from collections.abc import Mapping

from klever.api.kinds import MODEL_JOB
from klever.cli.commands.client import Api
from klever.cli.commands.stored import MODEL_JOBS
from klever.cli.commands.versions import get_version
from klever.cli.commands.wait import wait_for
from klever.errors import InvalidError
from klever.oci.reference import Reference

__all__ = ["convert_version"]

_NOT_A_NAME = re.compile(r"[^a-z0-9]+")
_MAX_NAME = 50


def convert_version(
    api: Api,
    text: str,
    target: str,
    *,
    tag: str,
    variables: Mapping[str, str],
    quantize: bool,
    memory: str,
    timeout: float,
) -> str:
    """Create the job, wait for it, and return a line about its result. `tag` is that of the new version, and
    `memory` the limit of the job's memory, e.g. `4Gi`.

    Raises `InvalidError` for a reference without a tag, and for a version that already has the format unless `quantize`
    is set. Raises the errors of `wait_for`.
    """
    reference = Reference.parse(text)
    if not reference.tag:
        raise InvalidError(f"{text} has no tag: expected PROJECT/MODEL:TAG")
    desired = reference.with_tag(tag or f"{reference.tag}-{'int8' if quantize else target.lower()}")
    source = get_version(api, "", text).format
    if source == target and not quantize:
        raise InvalidError(f"{text} already has the format {target}; --quantize int8 stores its weights in 8 bits")
    obj = {
        "apiVersion": MODEL_JOB.api_version,
        "kind": MODEL_JOB.kind,
        "metadata": {"generateName": _prefix(reference), "namespace": api.namespace},
        "spec": {
            "model": text,
            "desiredTag": str(desired),
            "conversion": {"mmdnn": {"from": source, "to": target}},
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            **({"resources": {"limits": {"memory": memory}}} if memory else {}),
        },
    }
    created = api.jobs.create(obj)
    done = wait_for(api, MODEL_JOBS, created.metadata.name, "condition=Complete", timeout)
    return f"{desired}: {done.status.result.report}"


def _prefix(reference: Reference) -> str:
    words = _NOT_A_NAME.sub("-", f"convert-{reference.repository.rpartition('/')[2]}-{reference.tag}".lower())
    return f"{words[:_MAX_NAME].strip('-')}-"
