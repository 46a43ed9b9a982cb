"""`klever convert`: converts a local model directory, or a version in a registry, to another format."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from klever import formats
from klever.artifacts import document, ormbfile
from klever.artifacts.metadata import ModelMetadata
from klever.cli.commands.client import connect
from klever.cli.commands.conversions import convert_version
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.cli.terminal import escaped
from klever.cmd.data import default_cache
from klever.cmd.programs import bubblewraps
from klever.converters import Converter
from klever.converters.table import converter
from klever.environments import EnvironmentManager
from klever.errors import FailedPreconditionError, InvalidError
from klever.formats import Trust
from klever.inspection.inspector import inspect
from klever.limits import DEFAULTS
from klever.process import Level, Network, ProcessManager, ProcessSpec, Sandbox
from klever.process.sandbox.choose import choose
from klever.tasks import report

EXAMPLES = """  klever convert team/digits:v1 --to ONNX
  klever convert team/digits:v1 --to ONNX --tag v1-onnx --env TOLERANCE=1e-4
  klever convert ./digits --to ONNX -o ./digits-onnx
  klever convert ./digits --to ONNX --quantize int8 -o ./digits-int8"""

_MODEL: Final = "model"
_PROCESS: Final = "convert"
_REQUEST: Final = "request.json"
_WRITE_BYTES: Final = 64 << 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="REF|MODEL_DIR", help="a version, or a directory that contains model/")
    parser.add_argument("--to", required=True, metavar="FORMAT", help="the format to write, e.g. ONNX")
    parser.add_argument("--tag", default="", help="tag of the new version; by default TAG-FORMAT in lower case")
    parser.add_argument(
        "-o", "--output-directory", type=Path, metavar="DIR", help="where to write a converted MODEL_DIR"
    )
    parser.add_argument("--quantize", choices=("int8",), help="store weights in 8 bits; the model must be ONNX")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the job, e.g. TOLERANCE=1e-4",
    )
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    variables = dict(_pair(text) for text in args.env)
    directory = Path(args.source)
    if not directory.is_dir():
        if args.source.startswith((".", "/")):
            raise InvalidError(f"{args.source} must be a directory")
        line = convert_version(
            connect(args),
            args.source,
            args.to,
            tag=args.tag,
            variables=variables,
            quantize=bool(args.quantize),
            timeout=seconds(args.timeout),
        )
        print(escaped(line))
        return 0
    if args.output_directory is None:
        raise InvalidError("-o DIR is required: it names the directory of the converted model")
    if args.output_directory.exists():
        raise InvalidError(f"{args.output_directory} already exists: name a new directory with -o")
    if args.to == _format(directory) and not args.quantize:
        raise InvalidError(
            f"{directory} already has the format {args.to}; --quantize int8 stores its weights in 8 bits"
        )
    _convert(directory, args.to, args.output_directory, variables)
    return 0


def _format(directory: Path) -> str:
    described = ormbfile.read_ormbfile(directory / ormbfile.NAME)
    return (described.format if described else "") or formats.detect(directory / _MODEL)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidError(f"--env {text}: expected NAME=VALUE")
    return name, value


def _convert(source: Path, target: str, output: Path, variables: Mapping[str, str]) -> None:
    """Convert a directory in a sandbox, and write the model, its ormbfile.yaml and the report to `output`."""
    described = ormbfile.read_ormbfile(source / ormbfile.NAME) or ModelMetadata()
    name = _format(source)
    format_, found = formats.get(name), converter(name, target)
    found.check(variables)
    formats.check_layout(name, source / _MODEL)
    if described.signature is None and format_.extractable:
        described = replace(described, signature=format_.read_signature(source / _MODEL))
    with tempfile.TemporaryDirectory(prefix="klever-convert-") as name_:
        work = Path(name_)
        code = Trust.CODE in _trust(found, source / _MODEL)
        _prepare(found, source / _MODEL, described, work, code=code)
        compared = asyncio.run(_run(found, (source / _MODEL).resolve(), work, variables, code=code))
        converted = work / "output" / _MODEL
        read = formats.get(target)
        signature = read.read_signature(converted) if read.extractable else None
        output.mkdir(parents=True)
        converted.rename(output / _MODEL)
        ormbfile.write_ormbfile(
            output / ormbfile.NAME, replace(described, format=target, signature=signature, created="", files=())
        )
        (output / report.NAME).write_text(json.dumps(compared, indent=1) + "\n")
    print(escaped(f"{output}: {target}; {report.summarize(compared)}" if compared else f"{output}: {target}"))


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
    found: Converter, model: Path, work: Path, variables: Mapping[str, str], *, code: bool
) -> dict[str, Any]:
    """Run the converter's program in the sandbox; return its report. Raises `FailedPreconditionError`."""
    confinement = await asyncio.to_thread(choose, bubblewraps())
    if confinement.level is Level.NONE and code:
        raise FailedPreconditionError(
            "the model contains code, and this machine has no sandbox: `klever doctor` says why"
        )
    environment = await EnvironmentManager(default_cache() / "environments").ensure(found.environment, _say)
    processes = ProcessManager(work / "processes", confinement=confinement)
    argv = (str(environment / "bin" / "python"), "-I", str(found.program), str(work / "input" / _REQUEST))
    read = (environment, Path(sys.base_prefix), found.program, work / "input", model)
    output = work / "output"
    sandbox = Sandbox(read, (output,), Network.NONE, write_bytes=_WRITE_BYTES)
    env = {**variables, "HOME": str(output), "TMPDIR": str(output)}
    await processes.start(ProcessSpec(_PROCESS, argv, env, output, sandbox=sandbox))
    try:
        async for line in processes.logs(_PROCESS, follow=True):
            _say(line)
        state = processes.get(_PROCESS)
    finally:
        await processes.stop(_PROCESS)
        await processes.remove(_PROCESS)
    if state is None or state.exit_code:
        raise FailedPreconditionError(state.message if state else "the program's record is lost", reason="TASK_FAILED")
    return report.read(output / report.NAME)


def _trust(found: Converter, model: Path) -> set[Trust]:
    holds_code = found.source in inspect(model, DEFAULTS).code_formats
    return {formats.trust_of(found.source), Trust.CODE if holds_code else Trust.DATA}


def _say(line: str) -> None:
    print(escaped(line), file=sys.stderr, flush=True)
