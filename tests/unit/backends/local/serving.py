"""Recorded cases (tests/data/serving, tests/data/networks) on a real backend."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from klever import formats
from klever.artifacts.ormbfile import NAME, read_ormbfile
from klever.backends import Instance
from tests.contract.backend import until_ready, workload
from tests.unit.backends.local.machine import Machine, adder, open_session

__all__ = ["check", "deploy"]

_INEXACT = ("FP32", "FP64")


async def check(machine: Machine, case: Path, **options: Any) -> None:
    """Serve a case and compare the answer with the recorded one; `options` are the backend's."""
    recorded = json.loads((case / "case.json").read_text())
    status, answer = await _infer(await deploy(machine, case, **options), recorded["inputs"])
    assert status == 200, answer
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs.keys() == {output["name"] for output in recorded["outputs"]}
    for wanted in recorded["outputs"]:
        output = outputs[wanted["name"]]
        assert (output["datatype"], output["shape"]) == (wanted["datatype"], wanted["shape"])
        inexact = wanted["datatype"] in _INEXACT
        assert output["data"] == (pytest.approx(wanted["data"], rel=1e-6) if inexact else wanted["data"])


async def deploy(machine: Machine, case: Path, **options: Any) -> Instance:
    """Serve a case under the name `adder` and wait until it is Ready. A signature in ormbfile.yaml counts first."""

    def fetch(reference: str, content: str, into: Path) -> None:
        shutil.copytree(case / "model", into / "model")

    format_ = formats.get(formats.detect(case / "model"))
    described = read_ormbfile(case / NAME)
    declared = described.signature if described else None
    signature = declared or format_.read_signature(case / "model")
    backend = await machine.backend(fetch=fetch, **options)
    await backend.ensure(workload(replace(adder(), format=format_.name, signature=signature)))
    (instance,) = await until_ready(backend, 1)
    return instance


async def _infer(instance: Instance, inputs: list[dict[str, Any]]) -> tuple[int, Any]:
    async with open_session(instance.http) as (session, url):
        response = await session.post(f"{url}/v2/models/adder/infer", json={"inputs": inputs})
        return response.status, json.loads(await response.text())
