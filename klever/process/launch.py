"""Starts shims."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from klever.errors import ExhaustedError, UnavailableError
from klever.process import shim
from klever.process.record import ProcessSpec, Run, spec_to_json

__all__ = ["run_shim", "start_error"]

_SHIM: Final = Path(shim.__file__).with_name("__main__.py")


async def run_shim(spec: ProcessSpec, run: Run, directory: Path) -> str:
    """Start a shim. Return its answer (`klever.process.shim.main`). Raises `UnavailableError`."""
    try:
        starter = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_SHIM), str(directory)),
            env={},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise UnavailableError(f"process {spec.id}: cannot start {sys.executable}: {error.strerror}") from error
    try:
        settings = {"spec": spec_to_json(spec), "run": run.to_json()}
        output, _ = await starter.communicate(json.dumps(settings).encode())
    except BaseException:
        with suppress(ProcessLookupError):
            starter.kill()
        raise
    return output.decode(errors="replace").strip()


def start_error(process_id: str, answer: str) -> UnavailableError | ExhaustedError:
    """Return the error of a shim that answered anything but `started` or `busy`."""
    word, _, number = answer.partition(" ")
    if word != "error" or not number.isdecimal():
        return UnavailableError(f"process {process_id}: its shim failed:\n{answer}")
    if int(number) in {errno.ENOSPC, errno.EDQUOT}:
        return ExhaustedError(f"process {process_id}: the disk is full: cannot write its record", reason="DISK_FULL")
    return UnavailableError(f"process {process_id}: {os.strerror(int(number))}")
