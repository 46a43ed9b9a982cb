"""The cases of tests/data/networks on a real backend."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from klever import formats
from klever.artifacts.ormbfile import NAME, read_ormbfile
from klever.backends import Instance
from tests.contract.backend import until_ready, workload
from tests.unit.backends.local.machine import Machine, adder, session_of

__all__ = ["CASES", "deploy", "infer"]

CASES = Path(__file__).parents[3] / "data" / "networks"


async def deploy(machine: Machine, case: str, **options: Any) -> Instance:
    """Serve a case under the name `adder` and wait until it is Ready; `options` are the backend's."""

    def fetch(reference: str, content: str, into: Path) -> None:
        shutil.copytree(CASES / case / "model", into / "model")

    format_ = formats.get(formats.detect(CASES / case / "model"))
    described = read_ormbfile(CASES / case / NAME)
    declared = described.signature if described else None
    signature = declared or format_.read_signature(CASES / case / "model")
    backend = await machine.backend(fetch=fetch, **options)
    await backend.ensure(workload(replace(adder(), format=format_.name, signature=signature)))
    (instance,) = await until_ready(backend, 1)
    return instance


async def infer(instance: Instance, inputs: list[dict[str, Any]]) -> tuple[int, Any]:
    async with session_of(instance.http) as (session, url):
        response = await session.post(f"{url}/v2/models/adder/infer", json={"inputs": inputs})
        return response.status, json.loads(await response.text())
