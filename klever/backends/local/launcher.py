"""Gets one replica's parts together and starts its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Final

from klever.backends import PredictorWorkload
from klever.backends.local.cache import ModelCache
from klever.backends.local.ports import LOOPBACK, free_ports
from klever.backends.local.record import PROCESS_PREFIX, Addresses, Record, Slot, lay_out, read_record, wipe
from klever.environments import EnvironmentManager
from klever.errors import InvalidError
from klever.oci.blobs import disk_errors
from klever.process import ProcessManager, ProcessSpec
from klever.runtimes import Launch, Model, Placement, Runtime

__all__ = ["Launcher", "Parts"]

_LABEL: Final = "serving"
"""Label of the processes that are replicas; its value is the Serving's key, for people."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a replica stands on; `model_path` and `environment` are None where it needs none."""

    runtime: Runtime
    model: Model
    model_path: Path | None
    environment: Path | None


class Launcher:
    """Starts and removes processes of replicas, with their files in the directories of the processes.

    `base_env` is what every process gets (PATH and the like), below the variables of its runtime and its predictor.
    """

    def __init__(
        self,
        *,
        processes: ProcessManager,
        environments: EnvironmentManager,
        runtimes: Mapping[str, Runtime],
        cache: ModelCache,
        base_env: Mapping[str, str],
        allow_commands: bool,
    ) -> None:
        self.processes = processes
        self.cache = cache
        self._environments = environments
        self._runtimes = runtimes
        self._base_env = base_env
        self._allow_commands = allow_commands
        self._ports: dict[str, frozenset[int]] = {}

    def directory(self, process: str) -> Path:
        """Where a replica's record and store are."""
        return self.processes.directory(process) / "replica"

    async def prepare(self, slot: Slot, predictor: PredictorWorkload, say: Callable[[str], None]) -> Parts:
        """Pull the model and make the environment; `say` gets the progress.

        Raises `InvalidError` for what can never work here, other `KleverError` for what may pass.
        """
        runtime = self._runtime(predictor)
        model_path: Path | None = None
        files: tuple[str, ...] = ()
        if predictor.content:
            say(f"pulling the model {predictor.model}")
            model_path, files = await self.unpack(predictor)
        model = Model(slot.key.name, predictor.format, files, predictor.signature)
        runtime.check(model)
        environment = None
        if runtime.environment:
            say(f"preparing the environment {runtime.environment}")
            environment = await self._environments.ensure(runtime.environment, say)
        return Parts(runtime, model, model_path, environment)

    async def unpack(self, predictor: PredictorWorkload) -> tuple[Path, tuple[str, ...]]:
        """The predictor's model directory and the files below it; raises as `prepare`."""
        path = await self.cache.path(predictor.model, predictor.content)
        return path, await asyncio.to_thread(_files, path)

    async def start(self, slot: Slot, predictor: PredictorWorkload, parts: Parts) -> Record:
        """Lay out the replica anew, with free ports, and start its process; one that still runs is ended first."""
        await self.processes.stop(slot.process, grace_s=0)
        at = self._place(slot, predictor, parts)
        launch = parts.runtime.launch(parts.model, at)
        record = Record(
            slot, predictor.content, _addresses(at, launch), launch.health, launch.shared_memory, launch.guard
        )
        directory = self.directory(slot.process)
        with disk_errors(directory):
            await asyncio.to_thread(lay_out, directory, launch, parts.model_path, record)
        await self.processes.start(
            ProcessSpec(
                id=slot.process,
                argv=launch.argv,
                env={**self._base_env, **launch.env},
                cwd=directory / "store",
                labels={_LABEL: str(slot.key)},
                memory_bytes=predictor.memory_bytes or None,
            )
        )
        return record

    async def remove(self, slot: Slot, *, grace_s: float) -> None:
        """Stop the process, if it runs, and remove what was laid out for it, logs included."""
        directory = self.directory(slot.process)
        record = await asyncio.to_thread(read_record, directory)
        await self.processes.stop(slot.process, grace_s=grace_s)
        with disk_errors(directory):
            await asyncio.to_thread(wipe, directory, record.shared_memory if record else "")
        await self.processes.remove(slot.process)
        self._ports.pop(slot.process, None)

    async def find(self) -> list[Record]:
        """The replicas that were started before and not removed; what cannot be told is ended and removed."""
        found: list[Record] = []
        for directory in await asyncio.to_thread(lambda: sorted(self.processes.root.glob(f"{PROCESS_PREFIX}*"))):
            record = await asyncio.to_thread(read_record, directory / "replica")
            if record and self.processes.get(directory.name):
                found.append(record)
                self._ports[directory.name] = record.addresses.ports
            else:
                await self.processes.remove(directory.name)
        return found

    def _runtime(self, predictor: PredictorWorkload) -> Runtime:
        if predictor.command and not self._allow_commands:
            raise InvalidError(
                "a serving of a command is not allowed here: start klever up with --allow-commands",
                reason="COMMANDS_NOT_ALLOWED",
            )
        if predictor.gpus:
            raise InvalidError(
                f"it asks for {predictor.gpus} GPUs, and processes here are given none: remove resources.gpu",
                reason="NO_GPU",
            )
        try:
            return self._runtimes[predictor.runtime]
        except KeyError as error:
            known = ", ".join(sorted(self._runtimes))
            raise InvalidError(f"no runtime is named {predictor.runtime!r}; there are: {known}") from error

    def _place(self, slot: Slot, predictor: PredictorWorkload, parts: Parts) -> Placement:
        self._ports.pop(slot.process, None)
        http, grpc, metrics = free_ports(3, frozenset[int]().union(*self._ports.values()))
        self._ports[slot.process] = frozenset({http, grpc, metrics})
        return Placement(
            host=LOOPBACK,
            http_port=http,
            grpc_port=grpc,
            metrics_port=metrics,
            store=PurePosixPath(self.directory(slot.process) / "store"),
            model=PurePosixPath(parts.model_path or "/nonexistent"),
            environment=PurePosixPath(parts.environment) if parts.environment else None,
            env=predictor.env,
            command=predictor.command,
            probe_path=predictor.probe_path,
            threads=ceil(predictor.cpu),
        )


def _addresses(at: Placement, launch: Launch) -> Addresses:
    return Addresses(
        http=f"{at.host}:{at.http_port}",
        grpc=f"{at.host}:{at.grpc_port}" if launch.grpc else "",
        metrics=f"{at.host}:{at.metrics_port}{launch.metrics_path}" if launch.metrics_path else "",
    )


def _files(directory: Path) -> tuple[str, ...]:
    return tuple(sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()))
