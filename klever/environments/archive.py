"""Archives of environments, for machines without a package index.

    NAME/lock.txt     the lock file of the environment NAME
    wheels/*.whl      the packages of all environments in the archive

An archive is a zip without compression, because wheels are compressed. It needs no trust: pip compares each package
with the hash in the lock file of the importing machine.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from klever.disk import disk_errors
from klever.environments.build import download
from klever.environments.manager import EnvironmentManager
from klever.environments.table import Environment
from klever.errors import FailedPreconditionError, InvalidError

__all__ = ["export_environments", "import_environments"]

_WHEEL: Final = re.compile(r"wheels/([A-Za-z0-9][A-Za-z0-9._+!-]*\.whl)")
_LOCK: Final = re.compile(r"([a-z0-9-]+)/lock\.txt")
_MAX_LOCK: Final = 4 << 20
"""The maximum size of a lock file, in bytes."""


async def export_environments(
    manager: EnvironmentManager, names: Sequence[str], file: Path, progress: Callable[[str], None]
) -> None:
    """Download the packages of environments and write them to `file`, which must not exist.

    Raises `NotFoundError` for an unknown environment, `InvalidError` if the file exists, and the errors of
    `EnvironmentManager.ensure`.
    """
    environments = [manager.status(name).environment for name in names]
    with _scratch(file) as wheels:
        for environment in environments:
            await download(environment, wheels, progress)
        await asyncio.to_thread(_write, file, environments, wheels)


@contextmanager
def _scratch(file: Path) -> Iterator[Path]:
    """Make a folder on the disk of `file` for the packages."""
    if file.exists():
        raise InvalidError(f"{file} already exists: choose another file, or remove it")
    with disk_errors(file.parent), tempfile.TemporaryDirectory(prefix=".klever-env-", dir=file.parent) as scratch:
        yield Path(scratch)


def _write(file: Path, environments: Sequence[Environment], wheels: Path) -> None:
    packages = sorted(wheels.iterdir())
    partial = wheels / "archive"
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for environment in environments:
            archive.write(environment.lock, f"{environment.name}/lock.txt")
        for wheel in packages:
            archive.write(wheel, f"wheels/{wheel.name}")
    partial.rename(file)


async def import_environments(
    manager: EnvironmentManager, file: Path, progress: Callable[[str], None]
) -> dict[str, Path]:
    """Install the environments of an archive without a package index. Return their directories by name.

    Raises `InvalidError` if the file is not such an archive, `FailedPreconditionError` if this Klever needs other
    packages, and the errors of `EnvironmentManager.ensure`.
    """
    with _opened(file) as archive, disk_errors(manager.root):
        locks = dict(_read_locks(archive, file))
        for name, lock in locks.items():
            _check_lock(manager, name, lock)
        manager.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".wheels-", dir=manager.root) as wheels:
            await asyncio.to_thread(_extract, archive, Path(wheels))
            return {name: await manager.ensure(name, progress, wheels=Path(wheels)) for name in locks}


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise _invalid(file)
            yield archive
    except (zipfile.BadZipFile, EOFError) as error:
        raise _invalid(file) from error
    except FileNotFoundError as error:
        raise InvalidError(f"{file} does not exist") from error


def _invalid(file: Path) -> InvalidError:
    return InvalidError(f"{file} is not an archive of environments: make one with `klever env export`")


def _read_locks(archive: zipfile.ZipFile, file: Path) -> Iterator[tuple[str, bytes]]:
    members = [(match[1], member) for member in archive.infolist() if (match := _LOCK.fullmatch(member.filename))]
    if not members or any(member.file_size > _MAX_LOCK for _, member in members):
        raise _invalid(file)
    for name, member in members:
        yield name, archive.read(member)


def _check_lock(manager: EnvironmentManager, name: str, lock: bytes) -> None:
    if manager.status(name).environment.lock.read_bytes() != lock:
        raise FailedPreconditionError(
            f"the archive has other packages of the environment {name} than this Klever needs: export it with the same "
            "version of Klever",
            reason="ENVIRONMENT_LOCK",
        )


def _extract(archive: zipfile.ZipFile, wheels: Path) -> None:
    for member in archive.infolist():
        if match := _WHEEL.fullmatch(member.filename):
            with archive.open(member) as source, Path(wheels, match[1]).open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
