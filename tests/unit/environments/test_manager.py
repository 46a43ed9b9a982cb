"""Environments made for real by venv and pip, from a package of a local folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from klever.environments import Environment, EnvironmentManager
from klever.errors import (
    DeadlineError,
    ExhaustedError,
    FailedPreconditionError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
)
from tests.unit.conftest import MakeDisk

pytestmark = pytest.mark.slow

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def wheel(folder: Path, text: str = "hello", version: str = "1.0") -> str:
    """Write a wheel of the package `tiny`, whose TEXT is `text`; returns its sha256."""
    path = folder / f"tiny-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", f"TEXT = {text!r}")
        archive.writestr(
            f"tiny-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n"
        )
        archive.writestr(
            f"tiny-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"tiny-{version}.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip knows of."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def manager(
    tmp_path: Path, digest: str, *, pythons: tuple[str, ...] = (PYTHON,), root: str = "root"
) -> EnvironmentManager:
    lock = tmp_path / "tiny.txt"
    lock.write_text(f"# pinned\ntiny==1.0 \\\n    --hash=sha256:{digest}\n")
    return EnvironmentManager(tmp_path / root, {"tiny": Environment("tiny", "a test", pythons, lock)})


def text(path: Path) -> str:
    """What the package in an environment says."""
    argv = [str(path / "bin" / "python"), "-I", "-c", "import tiny; print(tiny.TEXT)"]
    return subprocess.check_output(argv, text=True).strip()


async def test_is_made_once_shown_and_removed(tmp_path: Path, packages: Path) -> None:
    environments = manager(tmp_path, wheel(packages))
    assert [(status.environment.name, status.ready) for status in environments.list()] == [("tiny", False)]
    lines: list[str] = []
    others: list[tuple[str, bool]] = []

    def wait(line: str) -> None:
        others.append((line, environments.status("tiny").busy))

    path, same = await asyncio.gather(environments.ensure("tiny", lines.append), environments.ensure("tiny", wait))
    assert path == same
    assert text(path) == "hello"
    assert lines[:3] == [
        "tiny: creating a virtual environment",
        "tiny: package 1 of 1, tiny-1.0-py3-none-any.whl",
        "tiny: installing 1 packages",
    ]
    assert others == [("tiny: waiting for another process that is installing it", True)]
    assert not environments.status("tiny").busy
    status = environments.status("tiny")
    assert (status.path, status.ready) == (path, True)
    assert status.size_bytes > 10_000

    assert await environments.ensure("tiny", wait) == path
    assert len(others) == 1

    newer = manager(tmp_path, wheel(packages, "hello again"))
    second = await newer.ensure("tiny")
    assert (text(path), text(second)) == ("hello", "hello again")  # processes may still run on the first

    await newer.remove("tiny")
    assert not path.exists()
    assert not newer.status("tiny").ready
    await newer.remove("tiny")


async def test_an_operators_own_lock_replaces_klevers_until_the_environment_is_removed(
    tmp_path: Path, packages: Path
) -> None:
    environments = manager(tmp_path, wheel(packages))
    digest = wheel(packages, "from elsewhere", "2.0")
    await environments.use_lock("tiny", f"tiny==2.0 --hash=sha256:{digest}\n".encode())
    assert (environments.status("tiny").ready, environments.status("tiny").own_lock) == (False, True)
    assert text(await environments.ensure("tiny")) == "from elsewhere"
    await environments.remove("tiny")
    assert not environments.status("tiny").own_lock
    assert text(await environments.ensure("tiny")) == "hello"


async def test_an_operators_own_lock_must_have_hashes(tmp_path: Path, packages: Path) -> None:
    environments = manager(tmp_path, wheel(packages))
    await environments.use_lock("tiny", b"tiny==1.0\n")
    with pytest.raises(FailedPreconditionError, match="hash"):
        await environments.ensure("tiny")


async def test_an_interrupted_build_is_made_again(tmp_path: Path, packages: Path) -> None:
    environments = manager(tmp_path, wheel(packages))
    begun = asyncio.Event()
    build = asyncio.create_task(environments.ensure("tiny", lambda _: begun.set()))
    await begun.wait()
    build.cancel()
    with suppress(asyncio.CancelledError):
        await build
    path = environments.status("tiny").path
    assert not path.exists()
    (path / "bin").mkdir(parents=True)  # what a killed control plane leaves
    (path / "bin" / "python").write_text("half")
    assert not environments.status("tiny").ready
    assert text(await environments.ensure("tiny")) == "hello"


KILLED = """
import asyncio, sys
from pathlib import Path
from klever.environments import Environment, EnvironmentManager

row = Environment("tiny", "", (sys.argv[2],), Path(sys.argv[3]))
environments = EnvironmentManager(Path(sys.argv[1]), {"tiny": row})
asyncio.run(environments.ensure("tiny", lambda line: print(line, flush=True)))
"""


async def test_a_killed_builder_leaves_no_rival(tmp_path: Path, packages: Path) -> None:
    environments = manager(tmp_path, wheel(packages))
    argv = [sys.executable, "-c", KILLED, str(environments.root), PYTHON, str(tmp_path / "tiny.txt")]
    builder = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    assert builder.stdout is not None
    assert await builder.stdout.readline() == b"tiny: creating a virtual environment\n"
    builder.kill()
    await builder.wait()
    assert text(await environments.ensure("tiny")) == "hello"


async def test_refuses_what_the_lock_does_not_name(tmp_path: Path, packages: Path) -> None:
    wheel(packages)
    environments = manager(tmp_path, "0" * 64)
    with pytest.raises(IntegrityError, match="tiny"):
        await environments.ensure("tiny")
    assert not environments.status("tiny").path.exists()


async def test_says_that_no_index_answers(tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(UnavailableError) as caught:
        await manager(tmp_path, "0" * 64).ensure("tiny")
    assert caught.value.reason == "NO_PACKAGE_INDEX"


async def test_shows_the_end_of_what_pip_said(tmp_path: Path, packages: Path) -> None:
    digest = wheel(packages, version="2.0")
    with pytest.raises(FailedPreconditionError, match=r"tiny==1\.0 \(from versions: 2\.0\)"):
        await manager(tmp_path, digest).ensure("tiny")


async def test_needs_a_python_that_has_the_packages(tmp_path: Path, packages: Path) -> None:
    with pytest.raises(FailedPreconditionError, match=f"needs Python 2.7 or 3.0, but .* is Python {PYTHON}"):
        await manager(tmp_path, "0" * 64, pythons=("2.7", "3.0")).ensure("tiny")


async def test_has_a_deadline(tmp_path: Path, packages: Path) -> None:
    environments = manager(tmp_path, wheel(packages))
    with pytest.raises(DeadlineError):
        await environments.ensure("tiny", timeout_s=0.2)
    assert not environments.status("tiny").path.exists()


async def test_knows_the_names_of_the_table_only(tmp_path: Path) -> None:
    for call in (EnvironmentManager(tmp_path).ensure, EnvironmentManager(tmp_path).remove):
        with pytest.raises(NotFoundError, match="triton"):
            await call("nope")


async def test_a_full_disk_is_told_and_left_clean(tmp_path: Path, packages: Path, make_disk: MakeDisk) -> None:
    environments = manager(tmp_path, wheel(packages, "x" * (1 << 20)), root=make_disk("512k").name)
    with pytest.raises(ExhaustedError):
        await environments.ensure("tiny")
    assert not environments.status("tiny").path.exists()
