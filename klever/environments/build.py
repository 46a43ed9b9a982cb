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

__all__ = ["build"]

# The user's settings for pip (mirror, proxy, certificates) apply; PYTHONPATH does not.
_INSTALL: Final = (
    *("install", "--ignore-installed", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-input"),
    *("--no-warn-script-location", "--disable-pip-version-check", "--progress-bar", "off", "-r"),
)
_REQUIREMENT: Final = re.compile(r"^[A-Za-z0-9]", re.MULTILINE)
_PACKAGE: Final = re.compile(r"^(?:Collecting|Processing) (?:\S*/)?(\S+)")
_TAIL_LINES: Final = 20
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


async def build(environment: Environment, path: Path, lock: int, progress: Callable[[str], None]) -> None:
    """Create a virtual environment at `path` and install the lock file. Raises the errors of
    `EnvironmentManager.ensure`.

    `lock` is the descriptor of the held build lock. pip inherits it, so that the next build waits for a pip whose
    control plane was killed.
    """
    name = environment.name
    python = (sys.executable, "-I", "-m")
    progress(f"{name}: creating a virtual environment")
    await _run(name, (*python, "venv", "--without-pip", str(path)), lock, lambda _: None)
    report = _reporter(name, len(_REQUIREMENT.findall(environment.lock.read_text())), progress)
    await _run(name, (*python, "pip", "--python", str(path), *_INSTALL, str(environment.lock)), lock, report)


def _reporter(name: str, total: int, progress: Callable[[str], None]) -> Callable[[str], None]:
    """Turn pip's lines into progress messages with a count of packages."""
    collected = 0

    def report(line: str) -> None:
        nonlocal collected
        if match := _PACKAGE.match(line):
            collected += 1
            progress(f"{name}: package {collected} of {total}, {match[1]}")
        elif line.startswith("Installing collected packages"):
            progress(f"{name}: installing {total} packages")

    return report


async def _run(name: str, argv: tuple[str, ...], lock: int, report: Callable[[str], None]) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock,),
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
            return kind(f"cannot install the environment {name}: {_summary(words, output)}", reason=reason)
    return FailedPreconditionError(f"cannot install the environment {name}:\n{output}", reason="ENVIRONMENT_BUILD")


def _summary(words: str, output: str) -> str:
    return next(line.strip() for line in output.splitlines() if words in line)
