"""Prepares the parts of a replica and starts its process."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Final

from klever.backends import PredictorWorkload
from klever.backends.local.cache import ModelCache
from klever.backends.local.commands import Commands
from klever.backends.local.ports import LOOPBACK, free_ports
from klever.backends.local.record import PROCESS_PREFIX, Addresses, Record, Slot, lay_out, read_record, wipe
from klever.backends.local.room import Room
from klever.disk import disk_errors
from klever.environments import EnvironmentManager
from klever.errors import InvalidError
from klever.formats import Trust
from klever.process import Level, Network, ProcessManager, ProcessSpec, Sandbox
from klever.process.removal import remove_tree
from klever.process.resources import read_resources
from klever.process.variables import variables
from klever.runtimes import Launch, Model, Placement, Runtime

__all__ = ["Launcher", "Parts"]

log = logging.getLogger(__name__)

_LABEL: Final = "serving"
"""The label of the processes of replicas. Its value is the Serving's key, for readers."""
_SOCKETS_NAME: Final = 10
"""The length of the name of a socket directory, enough to distinguish processes."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a replica. `model_path` is None if it has no model; `environments` are by name."""

    runtime: Runtime
    model: Model
    model_path: Path | None
    environments: Mapping[str, Path]


class Launcher:
    """Starts and removes processes of replicas, with their files in the directories of the processes.

    `sockets` has a directory of Unix sockets for each process. Its path is short, because the kernel bounds the path of
    a socket. `commands` is the access of users' own commands to this machine.
    """

    def __init__(
        self,
        *,
        processes: ProcessManager,
        environments: EnvironmentManager,
        runtimes: Mapping[str, Runtime],
        cache: ModelCache,
        sockets: Path,
        commands: Commands,
        room: Room,
    ) -> None:
        self.processes = processes
        self.cache = cache
        self._environments = environments
        self._runtimes = runtimes
        self._sockets = sockets
        self._commands = commands
        self._room = room
        self._ports: dict[str, frozenset[int]] = {}

    def directory(self, process: str) -> Path:
        """Return the directory of a replica's record and store."""
        return self.processes.directory(process) / "replica"

    def sockets(self, process: str) -> Path:
        """Return the directory of a replica's sockets."""
        return self._sockets / hashlib.sha256(process.encode()).hexdigest()[:_SOCKETS_NAME]

    async def prepare(self, slot: Slot, predictor: PredictorWorkload, say: Callable[[str], None]) -> Parts:
        """Pull the model and make the environments. `say` receives the progress.

        Raises `InvalidError` for a replica that can never work here, another `KleverError` for temporary errors.
        """
        runtime = self.runtime(predictor)
        model_path: Path | None = None
        files: tuple[str, ...] = ()
        if predictor.content:
            say(f"pulling the model {predictor.model}")
            model_path, files = await self.unpack(predictor)
        code = predictor.trust is Trust.CODE
        model = Model(slot.key.name, predictor.format, files, predictor.signature, code=code)
        runtime.check(model)
        environments = {}
        for name in runtime.environments(model):
            say(f"preparing the environment {name}")
            environments[name] = await self._environments.ensure(name, say)
        return Parts(runtime, model, model_path, environments)

    async def unpack(self, predictor: PredictorWorkload) -> tuple[Path, tuple[str, ...]]:
        """Return the predictor's model directory and the files below it. Raises the same errors as `prepare`."""
        path = await self.cache.path(predictor.model, predictor.content)
        return path, await asyncio.to_thread(_files, path)

    async def known_files(self, predictor: PredictorWorkload) -> tuple[str, ...]:
        """Return the files of the predictor's model if it is cached. Fetch nothing."""
        path = self.cache.known(predictor.content)
        return await asyncio.to_thread(_files, path) if path else ()

    async def start(self, slot: Slot, predictor: PredictorWorkload, parts: Parts) -> Record:
        """Write the replica's files with free ports, and start its process. End an older process first."""
        await self.processes.stop(slot.process, grace_s=0)
        resources = read_resources(predictor.resources)
        self._room.take(slot.process, resources.requested_bytes)
        at = self._place(slot, predictor, parts)
        launch = parts.runtime.launch(parts.model, at)
        record = _record(slot, predictor, launch)
        directory, sockets = self.directory(slot.process), self.sockets(slot.process)
        with disk_errors(directory):
            await asyncio.to_thread(lay_out, directory, launch, parts.model_path, record)
            await asyncio.to_thread(_empty, sockets)
        await self.processes.start(
            ProcessSpec(
                id=slot.process,
                argv=launch.argv,
                env={**self._environment(predictor), **launch.env},
                cwd=directory / "work",
                labels={_LABEL: str(slot.key)},
                memory_bytes=resources.memory_bytes or self._room.share,
                cpu=resources.cpu or None,
                sandbox=self._sandbox(slot, predictor, parts, launch),
            )
        )
        return record

    def note(self, slot: Slot, predictor: PredictorWorkload) -> None:
        """Count the memory of a process that runs already."""
        self._room.note(slot.process, read_resources(predictor.resources).requested_bytes)

    def _environment(self, predictor: PredictorWorkload) -> Mapping[str, str]:
        """Return the variables of a process, except those of its runtime and its predictor."""
        return {"PATH": self._commands.path if predictor.command else os.defpath}

    def _sandbox(self, slot: Slot, predictor: PredictorWorkload, parts: Parts, launch: Launch) -> Sandbox:
        directory = self.directory(slot.process)
        read = [directory / "store", *map(Path, launch.read)]
        if parts.model_path:
            read.append(parts.model_path)
        if parts.environments:
            read += [*parts.environments.values(), Path(sys.base_prefix)]
        if predictor.command:
            read += self._commands.shown(launch.argv[0])
        sandbox = Sandbox(
            read=tuple(read),
            write=(directory / "work", self.sockets(slot.process)),
            network=self._network(parts.runtime),
            ports=tuple(sorted(self._ports.get(slot.process, ()))),
        )
        memory_bytes = read_resources(predictor.resources).memory_bytes
        return replace(sandbox, memory_bytes=memory_bytes) if memory_bytes else sandbox

    async def empty_work(self, slot: Slot) -> None:
        """Remove the files of an ended process, so that they do not fill the disk until the next start."""
        directory = self.directory(slot.process) / "work"
        try:
            await asyncio.to_thread(remove_tree, directory)
        except OSError as error:
            log.warning("cannot remove %s: %s", directory, error)

    async def remove(self, slot: Slot, *, grace_s: float) -> None:
        """Stop the process, and remove its files and logs."""
        directory = self.directory(slot.process)
        record = await asyncio.to_thread(read_record, directory)
        await self.processes.stop(slot.process, grace_s=grace_s)
        with disk_errors(directory):
            await asyncio.to_thread(wipe, directory, record.shared_memory if record else "")
            await asyncio.to_thread(remove_tree, self.sockets(slot.process))
        await self.processes.remove(slot.process)
        self._ports.pop(slot.process, None)
        self._room.release(slot.process)

    async def find(self) -> list[Record]:
        """Return the existing replicas. Remove those without a readable record."""
        found: list[Record] = []
        for directory in await asyncio.to_thread(lambda: sorted(self.processes.root.glob(f"{PROCESS_PREFIX}*"))):
            record = await asyncio.to_thread(read_record, directory / "replica")
            if record and self.processes.get(directory.name):
                found.append(record)
                self._ports[directory.name] = record.addresses.ports
            else:
                await self.processes.remove(directory.name)
        await asyncio.to_thread(self._keep_sockets, {record.slot.process for record in found})
        return found

    def _keep_sockets(self, processes: set[str]) -> None:
        """Remove the socket directories of other processes, such as those of lost replicas."""
        kept = {self.sockets(process) for process in processes}
        for directory in self._sockets.iterdir() if self._sockets.is_dir() else ():
            if directory not in kept:
                with suppress(OSError):  # nothing listens there
                    remove_tree(directory)

    def _network(self, runtime: Runtime) -> Network:
        if not runtime.uses_ports:
            return Network.NONE
        return Network.FULL if self._commands.network else Network.LISTEN

    def runtime(self, predictor: PredictorWorkload) -> Runtime:
        """Return the predictor's runtime. Raises `InvalidError` if it cannot run here."""
        if predictor.trust is Trust.CODE and self.processes.confinement.level is Level.NONE:
            raise InvalidError(
                "the model or command contains code, which needs a sandbox; this machine has none: see `klever doctor`",
                reason="NO_SANDBOX",
            )
        try:
            return self._runtimes[predictor.runtime]
        except KeyError as error:
            known = ", ".join(sorted(self._runtimes))
            raise InvalidError(f"unknown runtime {predictor.runtime!r}: must be one of {known}") from error

    def _place(self, slot: Slot, predictor: PredictorWorkload, parts: Parts) -> Placement:
        self._ports.pop(slot.process, None)
        http = grpc = metrics = 0
        if parts.runtime.uses_ports:
            http, grpc, metrics = free_ports(3, frozenset[int]().union(*self._ports.values()))
            self._ports[slot.process] = frozenset({http, grpc, metrics})
        directory = self.directory(slot.process)
        return Placement(
            host=LOOPBACK,
            http_port=http,
            grpc_port=grpc,
            metrics_port=metrics,
            sockets=None if parts.runtime.uses_ports else PurePosixPath(self.sockets(slot.process)),
            store=PurePosixPath(directory / "store"),
            work=PurePosixPath(directory / "work"),
            model=PurePosixPath(parts.model_path or "/nonexistent"),
            environments={name: PurePosixPath(path) for name, path in parts.environments.items()},
            env=variables(predictor.env),
            command=predictor.command,
            probe_path=predictor.probe_path,
            threads=ceil(read_resources(predictor.resources).cpu),
            tuning=predictor.tuning,
        )


def _record(slot: Slot, predictor: PredictorWorkload, launch: Launch) -> Record:
    return Record(
        slot,
        predictor.content,
        Addresses(launch.http, launch.grpc, launch.metrics),
        launch.health,
        launch.shared_memory,
        predictor.trust,
        launch.guard,
    )


def _empty(directory: Path) -> None:
    """Create an empty directory, because a server would take a leftover socket for one in use."""
    remove_tree(directory)
    directory.mkdir(parents=True, mode=0o700)


def _files(directory: Path) -> tuple[str, ...]:
    return tuple(sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()))
