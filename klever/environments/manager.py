"""Creates, lists and removes environments.

    ROOT/NAME/KEY/         a virtual environment; KEY is a hash of the lock file and the interpreter
    ROOT/NAME/KEY/.ready   written last: without it the directory is the rest of an interrupted build
    ROOT/NAME/lock.txt     the operator's own lock file, in place of Klever's
    ROOT/NAME.lock         held during a build or removal, by any process

A virtual environment cannot be moved, so it is built in place. A new lock file leads to a new directory, because
processes may still run in the old environment.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from klever.api.text import format_size
from klever.disk import disk_errors, replace_file
from klever.environments.build import build
from klever.environments.table import ENVIRONMENTS, Environment
from klever.errors import DeadlineError, FailedPreconditionError, NotFoundError

__all__ = ["EnvironmentManager", "EnvironmentStatus"]

_READY: Final = ".ready"
_OWN_LOCK: Final = "lock.txt"
_LOCK_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class EnvironmentStatus:
    """The state of one environment. `path` and `size_bytes` are those of the current build, 0 bytes if not ready.

    `own_lock` says whether an operator's lock file replaces Klever's, and `busy` whether a process installs or removes
    the environment.
    """

    environment: Environment
    path: Path
    ready: bool
    size_bytes: int
    own_lock: bool
    busy: bool


class EnvironmentManager:
    """The environments below `root`, created with the current interpreter."""

    def __init__(self, root: Path, environments: Mapping[str, Environment] = ENVIRONMENTS) -> None:
        self.root = root
        self._environments = environments

    def list(self) -> list[EnvironmentStatus]:
        """Return all environments of the table by name, whether installed or not."""
        return [self.status(name) for name in sorted(self._environments)]

    def status(self, name: str) -> EnvironmentStatus:
        """Return the state of one environment. Raises `NotFoundError`."""
        environment = self._environment(name)
        path = self._path(environment)
        size = _ready_size(path)
        own = environment.lock == self._own_lock(name)
        busy = size is None and _is_locked(self.root / f"{name}.lock")
        return EnvironmentStatus(environment, path, size is not None, size or 0, own, busy)

    async def ensure(
        self,
        name: str,
        progress: Callable[[str], None] = lambda _: None,
        *,
        wheels: Path | None = None,
        timeout_s: float = 1800,
    ) -> Path:
        """Create the environment if it is missing, and return its directory (`bin/python` is its interpreter).

        The packages come from the package index, or from the folder `wheels`. Concurrent callers, in any process, wait
        for the one that builds. `progress` receives lines for people. Raises `NotFoundError`, `FailedPreconditionError`
        (unsupported Python, or pip failed), `UnavailableError` (no package index), `IntegrityError` (a package does not
        match the lock file), `ExhaustedError` (disk full) and `DeadlineError`. After an error or a cancellation, the
        unfinished build is removed.
        """
        status = self.status(name)
        if status.ready:
            return status.path
        _check_python(status.environment)
        try:
            async with asyncio.timeout(timeout_s), self._locked(name, progress) as lock:
                if not self.status(name).ready:
                    await self._build(status, lock, progress, wheels)
        except TimeoutError as error:
            raise DeadlineError(f"the environment {name} was not ready within {timeout_s:g} s") from error
        return status.path

    async def use_lock(self, name: str, lock: bytes) -> None:
        """Use the content of a requirements file with hashes in place of Klever's own lock, until `remove`.

        Raises `NotFoundError`, and `ExhaustedError` if the disk is full.
        """
        self._environment(name)
        async with self._locked(name, lambda _: None):
            own = self._own_lock(name)
            with disk_errors(own):
                own.parent.mkdir(exist_ok=True)
                replace_file(own, lock)

    async def remove(self, name: str) -> None:
        """Delete the environment, its older builds and its own lock. Raises `NotFoundError` for an unknown name."""
        self._environment(name)
        async with self._locked(name, lambda _: None):
            with disk_errors(self.root):
                await asyncio.to_thread(_delete, self.root / name)

    async def _build(
        self, status: EnvironmentStatus, lock: int, progress: Callable[[str], None], wheels: Path | None
    ) -> None:
        path = status.path
        with disk_errors(path):
            await asyncio.to_thread(_delete, path)
            try:
                await build(status.environment, path, lock, progress, wheels=wheels)
                size = await asyncio.to_thread(_settle, path)
                replace_file(path / _READY, json.dumps({"bytes": size}).encode())
            except BaseException:
                await asyncio.shield(asyncio.to_thread(_delete, path))
                raise
        progress(f"{status.environment.name}: ready, {format_size(size)} in {path}")

    def _environment(self, name: str) -> Environment:
        try:
            environment = self._environments[name]
        except KeyError as error:
            known = ", ".join(sorted(self._environments))
            raise NotFoundError(f"unknown environment {name!r}: must be one of {known}") from error
        own = self._own_lock(name)
        return replace(environment, lock=own) if own.exists() else environment

    def _own_lock(self, name: str) -> Path:
        return self.root / name / _OWN_LOCK

    def _path(self, environment: Environment) -> Path:
        interpreter = f"{sys.base_prefix} {sys.version_info[:2]}"
        key = hashlib.sha256(environment.lock.read_bytes() + interpreter.encode()).hexdigest()[:12]
        return self.root / environment.name / key

    @asynccontextmanager
    async def _locked(self, name: str, progress: Callable[[str], None]) -> AsyncIterator[int]:
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            waiting = False
            while not _try_lock(handle):
                if not waiting:
                    progress(f"{name}: waiting for another process that is installing it")
                waiting = True
                await asyncio.sleep(_LOCK_POLL_S)
            yield handle
        finally:
            os.close(handle)


def _check_python(environment: Environment) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here not in environment.pythons:
        wanted = " or ".join(environment.pythons)
        raise FailedPreconditionError(
            f"the environment {environment.name} needs Python {wanted}, but {sys.executable} is Python {here}: "
            f"install Klever with Python {wanted}",
            reason="PYTHON_VERSION",
        )


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(handle)
    finally:
        os.close(handle)


def _ready_size(path: Path) -> int | None:
    """Return the bytes of a complete environment whose interpreter still exists, else None."""
    try:
        marker = json.loads((path / _READY).read_bytes())
    except (OSError, ValueError):
        return None
    return int(marker["bytes"]) if (path / "bin" / "python").exists() else None


def _settle(path: Path) -> int:
    """Sync the packages to disk before the marker is written. Return their size in bytes."""
    os.sync()
    return sum(entry.lstat().st_size for entry in path.rglob("*"))


def _delete(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
