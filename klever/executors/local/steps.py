"""The processes of a task in order: its only step, or fetch, work and push.

    DIRECTORY/task/task.json  the task, without secrets, for the next step after a restart
    DIRECTORY/work/spec.json  the document of a step that has secrets
    DIRECTORY/work/input/     written by fetch, read by the program of the step work
    DIRECTORY/work/output/    written by the program, read by push

The step `work` may run the model's code: it sees neither secrets nor sockets, and has no network.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from klever.converters import MemoryNeed
from klever.disk import disk_errors
from klever.environments import EnvironmentManager
from klever.executors import RegistryAccess, Task
from klever.executors.local.memory import LARGE, MemoryGate
from klever.executors.local.states import STEP, step, succeeded
from klever.formats import Trust
from klever.process import Network, ProcessManager, ProcessSpec, ProcessState, Sandbox
from klever.process.removal import remove_tree
from klever.process.resources import read_resources
from klever.process.variables import variables

__all__ = ["Provision", "Steps"]

_DEADLINE: Final = "deadline"
_KEPT: Final = ("input", "layout", "output")
_GRACE_S: Final = 5.0
_LEAST_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Provision:
    """The secrets of a task's registries, and the paths and sockets that its sandbox may use."""

    secrets: Mapping[str, Any] = field(default_factory=dict)
    read: tuple[Path, ...] = ()
    network: Network = Network.FULL


@dataclass(frozen=True, slots=True)
class Steps:
    """Prepares the directory of a task for each step, and describes the step's process.

    `command` and `env` are as in `LocalExecutor`; `provide` resolves a task's secrets.
    """

    processes: ProcessManager
    command: tuple[str, ...]
    env: Mapping[str, str]
    provide: Callable[[Task], Provision]
    environments: EnvironmentManager
    write_bytes: int
    memory: MemoryGate

    def work(self, process: str) -> Path:
        """Return the directory in which the steps of a task run."""
        return self.processes.directory(process) / "work"

    def first(self, process: str, task: Task) -> ProcessSpec:
        """Return the process of the first step."""
        document = self._document(process)
        with disk_errors(document):
            document.parent.mkdir(parents=True, exist_ok=True)
            document.write_text(json.dumps(asdict(task)))
        deadline = str(time.time() + task.timeout_s) if task.timeout_s else ""
        return self._step(process, task, "fetch" if task.program else "run", deadline)

    def remain(self, state: ProcessState) -> bool:
        """Return whether another step follows an ended process."""
        return _is_unfinished(state) and self._document(state.spec.id).exists()

    def are_cut(self, state: ProcessState) -> bool:
        """Return whether `end` has prevented the next step of a process."""
        return _is_unfinished(state) and not self._document(state.spec.id).exists()

    def end(self, process: str) -> None:
        """Prevent further steps, also after a restart."""
        document = self._document(process)
        with disk_errors(document):
            document.unlink(missing_ok=True)

    async def next(self, state: ProcessState, say: Callable[[str], None]) -> ProcessSpec:
        """Return the process of the step after an ended one. `say` receives the progress of its environment.

        Raises the errors of `MemoryGate.limit` and `EnvironmentManager.ensure`.
        """
        process, deadline = state.spec.id, state.spec.labels[_DEADLINE]
        task = _read(self._document(process))
        if step(state) == "work":
            return self._step(process, task, "push", deadline)
        memory = self.memory.limit(task, _bytes(self.work(process) / "input" / "model"))
        environment = await self.environments.ensure(task.environment, say)
        return self._program(process, task, environment, memory, deadline)

    def is_overdue(self, state: ProcessState) -> bool:
        """Report whether the task of a process that has ended has no time left for its next step."""
        deadline = state.spec.labels[_DEADLINE]
        return bool(deadline) and time.time() > float(deadline)

    def _document(self, process: str) -> Path:
        return self.processes.directory(process) / "task" / "task.json"

    def _step(self, process: str, task: Task, name: str, deadline: str) -> ProcessSpec:
        """Return a process of the platform's program."""
        work = self._clean(process)
        if name == "fetch":
            task = replace(task, registries=tuple(access for access in task.registries if not access.push))
        provision = self.provide(task)
        document = {"module": task.module, "step": name, "inputs": task.inputs, "secrets": provision.secrets}
        path = work / "spec.json"
        with disk_errors(work):
            path.touch(0o600)
            path.write_text(json.dumps(document))
        sandbox = Sandbox(provision.read, (work,), provision.network, write_bytes=self.write_bytes)
        env = {} if task.program else variables(task.env)
        spec = ProcessSpec(process, (*self.command, str(path)), env, work, sandbox=sandbox)
        asked = read_resources({} if task.program else task.resources)
        memory = asked.memory_bytes or task.memory_bytes
        return self._limited(replace(spec, memory_bytes=memory, cpu=asked.cpu or None), task, name, deadline)

    def _program(self, process: str, task: Task, environment: Path, memory: int | None, deadline: str) -> ProcessSpec:
        work = self._clean(process)
        output = work / "output"
        with disk_errors(output):
            remove_tree(output)
            output.mkdir()
        argv = (str(environment / "bin" / "python"), "-I", task.program, str(work / "input" / "request.json"))
        read = (environment, Path(sys.base_prefix), Path(task.program), work / "input")
        sandbox = Sandbox(read, (output,), Network.NONE, write_bytes=self.write_bytes)
        spec = ProcessSpec(process, argv, variables(task.env), output, sandbox=sandbox, memory_bytes=memory)
        cpu = read_resources(task.resources).cpu or None
        limited = self._limited(replace(spec, cpu=cpu), task, "work", deadline)
        is_large = memory is not None and memory > (task.memory_bytes or memory)
        return replace(limited, labels={**limited.labels, LARGE: "true"}) if is_large else limited

    def _limited(self, spec: ProcessSpec, task: Task, name: str, deadline: str) -> ProcessSpec:
        return replace(
            spec,
            env={**spec.env, **self.env, "HOME": str(spec.cwd), "TMPDIR": str(spec.cwd)},
            labels={"namespace": task.namespace, "name": task.name, STEP: name, _DEADLINE: deadline},
            grace_s=_GRACE_S,
            timeout_s=max(float(deadline) - time.time(), _LEAST_S) if deadline else None,
        )

    def _clean(self, process: str) -> Path:
        """Return the working directory, without the secrets and the outcome of an earlier step."""
        work = self.work(process)
        with disk_errors(work):
            work.mkdir(parents=True, exist_ok=True)
            for entry in work.iterdir():
                if entry.name not in _KEPT:
                    remove_tree(entry)
        return work


def _is_unfinished(state: ProcessState) -> bool:
    return state.phase == "Exited" and step(state) in ("fetch", "work") and succeeded(state)


def _bytes(directory: Path) -> int:
    """Return the size of the files that a step wrote."""
    return sum(path.lstat().st_size for path in directory.rglob("*"))


def _read(path: Path) -> Task:
    document = json.loads(path.read_text())
    registries = tuple(RegistryAccess(**access) for access in document["registries"])
    env, init_containers = tuple(document["env"]), tuple(document["init_containers"])
    known = {"registries": registries, "env": env, "init_containers": init_containers}
    memory = MemoryNeed(**document.get("program_memory", {}))
    return Task(**document | known | {"trust": Trust(document["trust"]), "program_memory": memory})
