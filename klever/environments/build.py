"""Builds one environment: `python -m venv`, then Klever's own pip installs exactly the locked packages."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from klever.environments.table import Environment
from klever.errors import ExhaustedError, FailedPreconditionError, IntegrityError, KleverError, UnavailableError

__all__ = ["build", "download"]

# The user's settings for pip (mirror, proxy, certificates) apply; PYTHONPATH does not.
_LOCKED: Final = (
    *("--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-input"),
    *("--disable-pip-version-check", "--progress-bar", "off", "-r"),
)
_INSTALL: Final = ("install", "--ignore-installed", "--no-warn-script-location")
_REQUIREMENT: Final = re.compile(r"^[A-Za-z0-9]", re.MULTILINE)
_PACKAGE: Final = re.compile(r"^(?:Collecting|Processing) (?:\S*/)?(\S+)")
_TAIL_LINES: Final = 20
_PYTHON: Final = (sys.executable, "-I", "-m")
_CAUSES: Final[tuple[tuple[str, type[KleverError], str], ...]] = (
    ("No space left on device", ExhaustedError, "DISK_FULL"),
    ("Disk quota exceeded", ExhaustedError, "DISK_FULL"),
    ("DO NOT MATCH THE HASHES", IntegrityError, "PACKAGE_HASH"),
    ("NewConnectionError", UnavailableError, "NO_PACKAGE_INDEX"),
    ("Connection refused", UnavailableError, "NO_PACKAGE_INDEX"),
    ("ProxyError", UnavailableError, "NO_PACKAGE_INDEX"),
    ("SSLError", UnavailableError, "NO_PACKAGE_INDEX"),
    ("NameResolutionError", UnavailableError, "NO_PACKAGE_INDEX"),
    ("timed out", UnavailableError, "NO_PACKAGE_INDEX"),
    ("(from versions: none)", UnavailableError, "NO_PACKAGE_INDEX"),
)
"""Text in pip's last lines -> Klever's error. The first match applies."""
_OFFLINE: Final = (
    "; check pip's settings (PIP_INDEX_URL, HTTPS_PROXY, PIP_CERT). Without a package index, run "
    '"klever env export {name} -o FILE" on another machine and "klever env import FILE" here'
)


async def build(
    environment: Environment, path: Path, lock: int, progress: Callable[[str], None], *, wheels: Path | None = None
) -> None:
    """Create a virtual environment at `path` and install the lock file, from the package index or the folder `wheels`.

    `lock` is the descriptor of the held build lock. pip inherits it, so that the next build waits for a pip whose
    control plane was killed. Raises the errors of `EnvironmentManager.ensure`.
    """
    name = environment.name
    progress(f"{name}: creating a virtual environment")
    await _run(name, (*_PYTHON, "venv", "--without-pip", str(path)), lambda _: None, lock)
    source = ("--no-index", "--find-links", str(wheels)) if wheels else ()
    pip = (*_PYTHON, "pip", "--python", str(path), *_INSTALL, *source, *_LOCKED, str(environment.lock))
    await _run(name, pip, _reporter(environment, progress), lock)


async def download(environment: Environment, wheels: Path, progress: Callable[[str], None]) -> None:
    """Download the packages of the lock file to the folder `wheels`. Raises the errors of `build`."""
    pip = (*_PYTHON, "pip", "download", "--dest", str(wheels), *_LOCKED, str(environment.lock))
    await _run(environment.name, pip, _reporter(environment, progress))


def _reporter(environment: Environment, progress: Callable[[str], None]) -> Callable[[str], None]:
    """Turn pip's lines into progress messages with a count of packages."""
    name, total = environment.name, len(_REQUIREMENT.findall(environment.lock.read_text()))
    collected = 0

    def report(line: str) -> None:
        nonlocal collected
        if match := _PACKAGE.match(line):
            collected += 1
            progress(f"{name}: package {collected} of {total}, {match[1]}")
        elif line.startswith("Installing collected packages"):
            progress(f"{name}: installing {total} packages")

    return report


async def _run(name: str, argv: tuple[str, ...], report: Callable[[str], None], *descriptors: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        pass_fds=descriptors,
    )
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        if process.stdout is not None:
            async for line in process.stdout:
                tail.append(line.decode(errors="replace").rstrip())
                report(tail[-1])
        code = await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        raise _error(name, "\n".join(tail))


def _error(name: str, output: str) -> KleverError:
    for words, kind, reason in _CAUSES:
        if words in output:
            hint = _OFFLINE.format(name=name) if reason == "NO_PACKAGE_INDEX" else ""
            return kind(f"cannot install the environment {name}: {_summary(words, output)}{hint}", reason=reason)
    return FailedPreconditionError(f"cannot install the environment {name}:\n{output}", reason="ENVIRONMENT_BUILD")


def _summary(words: str, output: str) -> str:
    return next(line.strip() for line in output.splitlines() if words in line)
