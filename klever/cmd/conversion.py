"""The conversion of a model directory on this machine, without a server: a converter's program in the sandbox."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from klever import formats
from klever.api.text import format_size
from klever.artifacts import document, ormbfile
from klever.artifacts.metadata import ModelMetadata
from klever.cli.terminal import escaped
from klever.cmd.data import default_cache
from klever.cmd.programs import bubblewraps
from klever.converters import Converter
from klever.converters.table import converter
from klever.disk import disk_errors
from klever.environments import EnvironmentManager
from klever.errors import FailedPreconditionError
from klever.formats import Trust
from klever.inspection.inspector import inspect
from klever.limits import DEFAULTS
from klever.process import Level, Network, ProcessManager, ProcessSpec, Sandbox
from klever.process.memory import check_total, machine_memory, shortage
from klever.process.removal import remove_tree
from klever.process.sandbox.choose import choose
from klever.tasks import report

__all__ = ["admitted", "convert_directory", "find_format"]

_MODEL: Final = "model"
_PROCESS: Final = "convert"
_REQUEST: Final = "request.json"
_WRITE_BYTES: Final = 64 << 30
_LOCK: Final = "conversion.lock"
_POLL_S: Final = 0.5


def find_format(directory: Path) -> str:
    """Return the format of a model directory: the one in its ormbfile.yaml, or the one that its files have."""
    described = ormbfile.read_ormbfile(directory / ormbfile.NAME)
    return (described.format if described else "") or formats.detect(directory / _MODEL)


def convert_directory(
    source: Path,
    target: str,
    output: Path,
    variables: Mapping[str, str],
    memory: int = 0,
    *,
    allow_code: bool = False,
) -> str:
    """Write the converted model, its ormbfile.yaml and the report to `output`; return a line about the result.

    `memory` bounds the memory of the program in bytes. 0 means the need of its pair of formats. Raises `ExhaustedError`
    if the machine has less, and `FailedPreconditionError` if the program fails, or for code that is not allowed.
    """
    described = ormbfile.read_ormbfile(source / ormbfile.NAME) or ModelMetadata()
    name = find_format(source)
    format_, found = formats.get(name), converter(name, target)
    found.check(variables)
    formats.check_layout(name, source / _MODEL)
    if described.signature is None and format_.extractable:
        described = replace(described, signature=format_.read_signature(source / _MODEL))
    code = Trust.CODE in _trust(found, source / _MODEL)
    if code and not allow_code:
        raise _code_refused(source)
    with _working_directory() as work:
        _prepare(found, source / _MODEL, described, work, code=code)
        compared = asyncio.run(_run(found, (source / _MODEL).resolve(), work, variables, memory, code=code))
        converted = work / "output" / _MODEL
        read = formats.get(target)
        signature = read.read_signature(converted) if read.extractable else None
        output.mkdir(parents=True)
        converted.rename(output / _MODEL)
        ormbfile.write_ormbfile(
            output / ormbfile.NAME, replace(described, format=target, signature=signature, created="", files=())
        )
        (output / report.NAME).write_text(json.dumps(compared, indent=1) + "\n")
    return f"{output}: {target}; {report.summarize(compared)}" if compared else f"{output}: {target}"


def _code_refused(source: Path) -> FailedPreconditionError:
    return FailedPreconditionError(
        f"the model in {source} is code, which the conversion runs in a sandbox: if you trust its author, add "
        "--allow-code",
        reason="CODE_NOT_ALLOWED",
    )


@contextmanager
def _working_directory() -> Iterator[Path]:
    """Create a directory, and delete it with all files of the program, at any depth."""
    work = Path(tempfile.mkdtemp(prefix="klever-convert-"))
    try:
        yield work
    finally:
        remove_tree(work)


def _prepare(found: Converter, model: Path, described: ModelMetadata, work: Path, *, code: bool) -> None:
    """Write the program's request, as `klever.tasks.conversion` does for a job."""
    (work / "input").mkdir()
    (work / "output").mkdir()
    request = {
        "model": str(model.resolve()),
        "output": str(work / "output" / _MODEL),
        "report": str(work / "output" / report.NAME),
        "metadata": document.encode(described),
        "options": dict(found.options),
        "code": code,
    }
    (work / "input" / _REQUEST).write_text(json.dumps(request))


async def _run(
    found: Converter, model: Path, work: Path, variables: Mapping[str, str], memory: int, *, code: bool
) -> dict[str, Any]:
    """Run the converter's program in the sandbox; return its report. Raises as `convert_directory`."""
    need = _need(found, model, memory)
    confinement = await asyncio.to_thread(choose, bubblewraps())
    if confinement.level is Level.NONE and code:
        raise FailedPreconditionError(
            "the model contains code, and this machine has no sandbox: `klever doctor` says why"
        )
    environment = await EnvironmentManager(default_cache() / "environments").ensure(found.environment, _say)
    argv = (str(environment / "bin" / "python"), "-I", str(found.program), str(work / "input" / _REQUEST))
    read = (environment, Path(sys.base_prefix), found.program, work / "input", model)
    output = work / "output"
    sandbox = Sandbox(read, (output,), Network.NONE, write_bytes=_WRITE_BYTES)
    env = {**variables, "HOME": str(output), "TMPDIR": str(output)}
    spec = ProcessSpec(_PROCESS, argv, env, output, sandbox=sandbox, memory_bytes=need, timeout_s=DEFAULTS.task_seconds)
    async with admitted(need):
        await _follow(ProcessManager(work / "processes", confinement=confinement), spec)
    return report.read(output / report.NAME)


async def _follow(processes: ProcessManager, spec: ProcessSpec) -> None:
    """Run a process to its end and print its log. Raises `FailedPreconditionError` if it fails."""
    await processes.start(spec)
    try:
        async for line in processes.logs(spec.id, follow=True):
            _say(line)
        state = processes.get(spec.id)
    finally:
        await processes.stop(spec.id)
        await processes.remove(spec.id)
    if state is None or state.exit_code:
        raise FailedPreconditionError(state.message if state else "the program's record is lost", reason="TASK_FAILED")


def _need(found: Converter, model: Path, memory: int) -> int:
    """Return the memory that the program gets, in bytes. Raises `ExhaustedError` if the machine has less."""
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    need = memory or max(found.memory.of(size), DEFAULTS.task_memory_bytes)
    if need > DEFAULTS.task_memory_bytes:
        check_total(need, machine_memory(), f"the conversion of {format_size(size)}", "--memory")
    return need


@asynccontextmanager
async def admitted(need: int) -> AsyncIterator[None]:
    """Wait until no other conversion of this user needs much memory, and the machine has that much free."""
    if need <= DEFAULTS.task_memory_bytes:
        yield
        return
    path = default_cache() / _LOCK
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        said = ""
        while why := _why_not(handle, need):
            if why.partition(":")[0] != said.partition(":")[0] or not said:
                _say(why)
            said = why
            await asyncio.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _why_not(handle: int, need: int) -> str:
    """Return why a conversion must wait; empty if it need not, and then it holds the lock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "waiting for another conversion that needs much memory"
    return shortage(need, machine_memory())


def _trust(found: Converter, model: Path) -> set[Trust]:
    holds_code = found.source in inspect(model, DEFAULTS).code_formats
    return {formats.least_trust(found.source), Trust.CODE if holds_code else Trust.DATA}


def _say(line: str) -> None:
    print(escaped(line), file=sys.stderr, flush=True)
