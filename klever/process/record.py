"""The specification and state of a process, and the record of both that its shim keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from klever.errors import InvalidError
from klever.process.cgroups import Group
from klever.process.sandbox import Command, Level, Network, Sandbox
from klever.process.shim.names import STATE
from klever.process.shim.proc import start_ticks

__all__ = ["Phase", "ProcessSpec", "ProcessState", "Reason", "Record", "Run", "check_id", "spec_to_json"]

Phase = Literal["Starting", "Running", "Exited"]
Reason = Literal[
    "", "Completed", "Error", "OOMKilled", "DiskFull", "TooManyProcesses", "DeadlineExceeded", "Killed", "StartError"
]

_LOST: Final = "lost: its shim has gone and left no record of the end"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to run. It inherits only resource limits from the platform.

    `id` names the process and its directory: letters, digits, `.`, `_` and `-`, at most 200, the first one a letter or
    digit. `argv[0]` is looked up on PATH of `env`. `cwd` None is `/`. By `labels` the owner recognizes the process
    after a restart. With `restart` the shim restarts an ended child, with backoff. `grace_s` is the time from SIGTERM
    to SIGKILL, `timeout_s` the wall-clock limit in seconds, `memory_bytes` the limit of resident memory of the child
    with its descendants, `cpu` the limit of CPU time in cores, `log_bytes` the size at which the log is rotated (one
    older part is kept), None for the manager's. `sandbox` says what the process may see; None for parts of the platform
    itself.
    """

    id: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    restart: bool = False
    grace_s: float = 10.0
    timeout_s: float | None = None
    memory_bytes: int | None = None
    cpu: float | None = None
    log_bytes: int | None = None
    sandbox: Sandbox | None = None

    def __post_init__(self) -> None:
        check_id(self.id)
        if not self.argv:
            raise InvalidError(f"process {self.id}: argv must not be empty")
        if self.log_bytes is not None and self.log_bytes <= 0:
            raise InvalidError(f"process {self.id}: log_bytes must be positive, not {self.log_bytes}")
        if self.cpu is not None and self.cpu <= 0:
            raise InvalidError(f"process {self.id}: cpu must be positive, not {self.cpu:g}")
        for word in (*self.argv, *self.env, *self.env.values()):
            if "\0" in word:
                raise InvalidError(f"process {self.id}: argv and env must not contain a NUL character")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The state of a process in its record.

    `exit_code` is 128 + N after signal N. `message` is what the process wrote to the file named by its variable
    KLEVER_TERMINATION_LOG (the first 4 KiB), otherwise how it failed and the last lines of its log. A process whose
    shim has gone without recording the end is Exited, with reason Error and message "lost: …". While a process with
    `restart` waits for its restart, its phase is Starting and its last exit is kept.
    """

    spec: ProcessSpec
    phase: Phase
    pid: int | None = None
    started_at: datetime | None = None
    exited_at: datetime | None = None
    exit_code: int | None = None
    reason: Reason = ""
    message: str = ""
    restarts: int = 0
    level: Level | None = None
    """The level of the sandbox; None for a part of the platform."""


@dataclass(frozen=True, slots=True)
class Run:
    """The program that a shim starts for a process: the process itself, or the sandbox that runs it.

    `termination` is the file of the termination message. `write`, `write_bytes` and `processes` are the sandbox's
    limits; no file, on disk or in memory, grows beyond its limit of disk. `user` is the user id of the payload, None
    for the platform's; `level` is empty without a sandbox. `groups` are its cgroups by controller. The shim watches the
    limits without a cgroup.
    """

    command: Command
    termination: str
    sandbox: Sandbox | None = None
    user: int | None = None
    level: str = ""
    groups: Mapping[str, Group] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that the shim reads."""
        return {
            "argv": list(self.command.argv),
            "env": dict(self.command.env),
            "inputs": {str(number): content.hex() for number, content in self.command.inputs.items()},
            "depth": self.command.depth,
            "termination": self.termination,
            "write": [str(path) for path in self.sandbox.write] if self.sandbox else [],
            "write_bytes": self.sandbox.write_bytes if self.sandbox else 0,
            "processes": self.sandbox.processes if self.sandbox else 0,
            "user": self.user,
            "level": self.level,
            "groups": {controller: group.to_json() for controller, group in self.groups.items()},
        }


@dataclass(frozen=True, slots=True)
class Record:
    """A shim's record on disk."""

    directory: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, directory: Path) -> Record | None:
        """Return the record in a directory; None if there is none or a power loss damaged it."""
        try:
            content = json.loads((directory / STATE).read_bytes())
        except (OSError, ValueError):
            return None
        return cls(directory, content)

    @property
    def shim(self) -> int | None:
        """The shim's process id while it lives."""
        pid: int = self.content["shim_pid"]
        return pid if start_ticks(pid) == self.content["shim_ticks"] else None

    @property
    def user(self) -> int | None:
        """The user id of the payload, None for the platform's."""
        user: int | None = self.content.get("user")
        return user

    @property
    def groups(self) -> list[Path]:
        """The cgroups of the process."""
        return [Path(path) for path in self.content.get("groups", ())]

    @property
    def begun(self) -> bool:
        """Whether the shim has started the program, or found that it cannot."""
        return self.content["started_at"] is not None

    @property
    def exited(self) -> bool:
        """Whether the record has the end of the process."""
        return bool(self.content["phase"] == "Exited")

    def state(self) -> ProcessState:
        """Return the state of the process, which has ended if its shim has gone."""
        values = self.content
        spec = spec_from_json(values["spec"])
        started_at, exited_at = _time(values["started_at"]), _time(values["exited_at"])
        level = Level(values["level"]) if values.get("level") else None
        if not self.exited and self.shim is None:
            newer = Record.read(self.directory)  # the shim may have recorded the end since
            if newer is not None and newer.exited:
                return newer.state()
            restarts = values["restarts"]
            return ProcessState(spec, "Exited", None, started_at, exited_at, None, "Error", _LOST, restarts, level)
        return ProcessState(
            spec,
            values["phase"],
            values["pid"],
            started_at,
            exited_at,
            values["exit_code"],
            values["reason"],
            values["message"],
            values["restarts"],
            level,
        )


def check_id(process_id: str) -> None:
    """Raise `InvalidError` if the id cannot be the name of a directory."""
    if not _ID.fullmatch(process_id):
        raise InvalidError(
            f"invalid process id {process_id!r}: expected letters, digits, '.', '_' and '-', at most 200"
        )


def spec_to_json(spec: ProcessSpec) -> dict[str, Any]:
    """Return the JSON of a specification, for the shim and the record."""
    return {
        "id": spec.id,
        "argv": list(spec.argv),
        "env": dict(spec.env),
        "cwd": str(spec.cwd) if spec.cwd else None,
        "labels": dict(spec.labels),
        "restart": spec.restart,
        "grace_s": spec.grace_s,
        "timeout_s": spec.timeout_s,
        "memory_bytes": spec.memory_bytes,
        "cpu": spec.cpu,
        "log_bytes": spec.log_bytes,
        "sandbox": _sandbox_to_json(spec.sandbox) if spec.sandbox else None,
    }


def spec_from_json(values: Mapping[str, Any]) -> ProcessSpec:
    """Return the specification of `spec_to_json`'s JSON."""
    cwd = Path(values["cwd"]) if values["cwd"] else None
    sandbox = _sandbox_from_json(values["sandbox"]) if values.get("sandbox") else None
    return ProcessSpec(**{**values, "argv": tuple(values["argv"]), "cwd": cwd, "sandbox": sandbox})


def _sandbox_to_json(sandbox: Sandbox) -> dict[str, Any]:
    return {
        **{name: getattr(sandbox, name) for name in ("write_bytes", "memory_bytes", "processes")},
        "read": list(map(str, sandbox.read)),
        "write": list(map(str, sandbox.write)),
        "network": sandbox.network,
    }


def _sandbox_from_json(values: Mapping[str, Any]) -> Sandbox:
    paths = {name: tuple(map(Path, values[name])) for name in ("read", "write")}
    return Sandbox(**{**values, **paths, "network": Network(values["network"])})


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
