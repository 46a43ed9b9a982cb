"""Archives of environments, made for real by pip from a package of a local folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from klever.environments import export_environments, import_environments
from klever.errors import FailedPreconditionError, IntegrityError, InvalidError, NotFoundError
from tests.errors import because
from tests.unit.environments.test_manager import manager, packages, text, wheel

pytestmark = pytest.mark.slow
__all__ = ["packages"]


def quiet(_: str) -> None:
    pass


def find_escaped(directory: Path) -> list[Path]:
    return list(directory.rglob("escaped.whl"))


async def test_an_archive_installs_without_an_index(
    tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = wheel(packages)
    archive = tmp_path / "environments.zip"
    await export_environments(manager(tmp_path, digest), ["tiny"], archive, quiet)
    monkeypatch.delenv("PIP_FIND_LINKS")
    installed = await import_environments(manager(tmp_path, digest, root="other"), archive, quiet)
    assert text(installed["tiny"]) == "hello"
    assert sorted(p.name for p in (tmp_path / "other").iterdir()) == ["tiny", "tiny.lock"]


async def test_an_export_overwrites_no_file(tmp_path: Path, packages: Path) -> None:
    archive = tmp_path / "environments.zip"
    archive.write_bytes(b"mine")
    with pytest.raises(InvalidError):
        await export_environments(manager(tmp_path, wheel(packages)), ["tiny"], archive, quiet)
    assert archive.read_bytes() == b"mine"


async def test_an_archive_for_another_lock_is_refused(tmp_path: Path, packages: Path) -> None:
    archive = tmp_path / "environments.zip"
    await export_environments(manager(tmp_path, wheel(packages)), ["tiny"], archive, quiet)
    with pytest.raises(FailedPreconditionError, check=because("ENVIRONMENT_LOCK")):
        await import_environments(manager(tmp_path, "0" * 64), archive, quiet)


async def test_a_changed_package_is_refused(tmp_path: Path, packages: Path) -> None:
    environments = manager(tmp_path, wheel(packages))
    wheel(packages, "evil")
    archive = tmp_path / "environments.zip"
    with zipfile.ZipFile(archive, "w") as hostile:
        hostile.write(environments.status("tiny").environment.lock, "tiny/lock.txt")
        hostile.write(packages / "tiny-1.0-py3-none-any.whl", "wheels/tiny-1.0-py3-none-any.whl")
    with pytest.raises(IntegrityError, check=because("PACKAGE_HASH")):
        await import_environments(environments, archive, quiet)


async def test_names_outside_the_folder_are_ignored(tmp_path: Path, packages: Path) -> None:
    environments = manager(tmp_path, wheel(packages))
    archive = tmp_path / "environments.zip"
    await export_environments(environments, ["tiny"], archive, quiet)
    with zipfile.ZipFile(archive, "a") as hostile:
        hostile.writestr("../escaped.whl", b"")
        hostile.writestr("wheels/../../escaped.whl", b"")
    await import_environments(environments, archive, quiet)
    assert not find_escaped(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x00" * 100])
async def test_other_files_are_refused(tmp_path: Path, packages: Path, content: bytes) -> None:
    archive = tmp_path / "environments.zip"
    archive.write_bytes(content)
    with pytest.raises(InvalidError):
        await import_environments(manager(tmp_path, wheel(packages)), archive, quiet)


async def test_compressed_archives_are_refused(tmp_path: Path, packages: Path) -> None:
    archive = tmp_path / "environments.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("tiny/lock.txt", b" " * 1000)
    with pytest.raises(InvalidError):
        await import_environments(manager(tmp_path, wheel(packages)), archive, quiet)


async def test_an_unknown_environment_is_not_found(tmp_path: Path, packages: Path) -> None:
    with pytest.raises(NotFoundError):
        await export_environments(manager(tmp_path, wheel(packages)), ["huge"], tmp_path / "a.zip", quiet)
