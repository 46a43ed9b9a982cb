"""A machine to run local backends on, with real parts, and what runs there."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

from klever.backends import Instance, PredictorWorkload, ServingKey
from klever.backends.local import Commands, LocalBackend, Timing
from klever.cmd.programs import bubblewraps
from klever.environments import EnvironmentManager
from klever.errors import InvalidError
from klever.formats import Signature, Tensor, Trust
from klever.process import Confinement, ProcessManager
from klever.process.cgroups import Cgroups, find
from klever.process.sandbox.choose import choose
from klever.runtimes import unix_path
from klever.runtimes.table import create_all
from tests.contract.backend import KEY

SHARED = Path(os.environ.get("KLEVER_SHARED", Path(__file__).parents[5] / "shared"))
ADDER = SHARED / "models" / "onnx" / "model" / "model.onnx"
ADDER_SIGNATURE = Signature(tuple(Tensor(name, (1, 5), "float32") for name in "XY"), (Tensor("Z", (1, 5), "float32"),))
FAST = Timing(
    probe_s=0.2, retry_probe_s=0.1, probe_timeout_s=0.5, quiet_s=0.3, backoff_s=0.1, full_backoff_s=0.1,
    grace_s=0.2, hung_grace_s=0.2,
)  # fmt: skip


@cache
def strongest() -> Confinement:
    """The confinement that `klever up` would choose."""
    return choose(bubblewraps())


@cache
def cgroups() -> Cgroups | None:
    """The cgroups that `klever up` would use."""
    return find()


@dataclass
class Machine:
    """One data directory; every `backend` on it finds what the ones before left running."""

    root: Path
    fetched: list[str] = field(default_factory=list)
    backends: list[LocalBackend] = field(default_factory=list)

    confinement: Confinement = field(default_factory=strongest)
    sockets: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="klever-")))
    """The path of a socket is short, and those of tests are long."""

    @property
    def processes(self) -> ProcessManager:
        return ProcessManager(self.root / "processes", confinement=self.confinement, cgroups=cgroups())

    async def backend(self, **options: Any) -> LocalBackend:
        backend = LocalBackend(
            **{
                "processes": self.processes,
                "environments": EnvironmentManager(Path.home() / ".cache" / "klever" / "environments"),
                "runtimes": create_all(),
                "models": self.root / "models",
                "fetch": self.fetch,
                "cache_bytes": 1 << 30,
                "sockets": self.sockets,
                "commands": Commands("/usr/bin:/bin", (Path(__file__).parent,)),
                "timing": FAST,
                **options,
            }
        )
        self.backends.append(backend)
        await backend.start()
        return backend

    async def close(self) -> None:
        """End everything, through the backend: it alone knows what a process leaves behind."""
        for backend in self.backends[:-1]:
            await backend.close()
        for backend in self.backends[-1:]:
            await asyncio.gather(*(backend.remove(key) for key in await backend.list()))
            await backend.close()
        shutil.rmtree(self.sockets)

    def pid(self, instance: Instance, key: ServingKey = KEY) -> int:
        """The process of the first replica of an instance's workload."""
        state = self.processes.get(f"serving.{key.namespace}.{key.name}.{instance.workload}.0")
        if state is None or state.pid is None:
            raise AssertionError(f"{instance.name} does not run: {state}")
        return state.pid

    def fetch(self, reference: str, content: str, into: Path) -> None:
        self.fetched.append(reference)
        if "broken" in reference:
            raise InvalidError(f"{reference}: not a gzip'd tar")
        (into / "model").mkdir()
        shutil.copy(ADDER, into / "model" / "adder.onnx")


def adder() -> PredictorWorkload:
    """A model that adds X and Y, on Triton."""
    return PredictorWorkload(
        "main",
        "r1",
        1,
        "triton",
        model="team/adder@sha256:" + "a" * 64,
        content="sha256:" + "b" * 64,
        format="ONNX",
        signature=ADDER_SIGNATURE,
        trust=Trust.DATA,
    )


def command() -> PredictorWorkload:
    """A user's own command without a model."""
    argv = (sys.executable, "-I", "-S", "-u", str(Path(__file__).with_name("command.py")))
    return PredictorWorkload("main", "r1", 1, "custom", command=argv, probe_path="/")


@asynccontextmanager
async def open_session(address: str) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """Open a session with the server at `HOST:PORT` or `unix:PATH`; yields it and the server's URL."""
    path = unix_path(address)
    connector = aiohttp.UnixConnector(path) if path else aiohttp.TCPConnector()
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session, "http://localhost" if path else f"http://{address}"


async def infer(instance: Instance, values: list[float]) -> list[float]:
    """Send X and Y = 1 to an adder named `adder`."""
    inputs = [
        {"name": name, "shape": [1, 5], "datatype": "FP32", "data": data}
        for name, data in (("X", values), ("Y", [1.0] * 5))
    ]
    async with open_session(instance.http) as (session, url):
        response = await session.post(f"{url}/v2/models/adder/infer", json={"inputs": inputs})
        response.raise_for_status()
        answer = await response.json()
    data: list[float] = answer["outputs"][0]["data"]
    return data


async def get(instance: Instance, path: str = "/") -> str:
    async with open_session(instance.http) as (session, url):
        response = await session.get(f"{url}{path}")
        response.raise_for_status()
        return await response.text()
