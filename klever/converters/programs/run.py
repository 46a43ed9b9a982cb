"""The steps of every conversion: convert, run both models, and report their differences."""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from klever.converters.programs.compare import check, compare
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import with_inputs

__all__ = ["convert"]

_MAX_MESSAGE: Final = 500
_PROGRAMS: Final = Path(__file__).parent


def convert(request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write the converted model to the request's `output`, and the report of both models to `report`.

    Exits with a message if the model cannot be converted, or if its outputs differ by more than the tolerance.
    """
    model, output = Path(request["model"]), Path(request["output"])
    try:
        request = with_inputs(request, env)
        begin = time.monotonic()
        _steps(model, output, request, env)
        print(f"converted in {time.monotonic() - begin:.1f} s", flush=True)
        report = _compare(model, output, request, env.get("TOLERANCE") or request["options"]["tolerance"])
    except ConversionError as error:
        _end(str(error), env)
    except (Exception, SystemExit) as error:  # of a damaged model, a pickle, or a framework
        _end(f"cannot convert the model: {type(error).__name__}: {error} ({_place(error)})", env)
    Path(request["report"]).write_text(json.dumps(report))
    if not report["passed"]:
        _end(_failure(report), env)


def _end(message: str, env: Mapping[str, str]) -> NoReturn:
    """Exit with a message in one line. Some tools put the whole model into theirs."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(message.split()))
    line = line if len(line) <= _MAX_MESSAGE else f"{line[:_MAX_MESSAGE]}…"
    if path := env.get("KLEVER_TERMINATION_LOG"):
        Path(path).write_text(line)
    sys.exit(line)


def _place(error: BaseException) -> str:
    """Return the last line of this program that an error passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == _PROGRAMS]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "outside this program"


def _steps(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Run each pair's module. Intermediate models are next to the output."""
    steps = request["options"]["steps"]
    for index, step in enumerate(steps):
        target = output if index == len(steps) - 1 else output.with_name(f"step{index}")
        target.mkdir(parents=True)
        importlib.import_module(f".{step}", __package__).convert(model, target, request, env)
        model = target


def _compare(model: Path, output: Path, request: Mapping[str, Any], tolerance: Any) -> dict[str, Any]:
    """Return the report. A model without a runner is not run."""
    options = request["options"]
    source, target = options["runner"], options["target_runner"]
    if not target:
        return {"samples": [], "outputs": {}, "passed": True, "not_compared": options["not_compared"]}
    run, inputs = _load(target, output, request)
    if not source:
        return check(inputs, run) | {"not_compared": options["not_compared"]}
    expected, known = _load(source, model, request)
    words = {tensor.name: tensor.words for tensor in known}
    inputs = [replace(tensor, words=words.get(tensor.name, ())) for tensor in inputs]
    limit = None if tolerance is None else float(tolerance)
    return compare(inputs, expected, run, limit, lossy=options["lossy"])


def _load(name: str, model: Path, request: Mapping[str, Any]) -> Any:
    """Return a function that runs the model, and the model's inputs."""
    return importlib.import_module(f".{name}", __package__).load(model, request)


def _failure(report: Mapping[str, Any]) -> str:
    worst = [
        f"{name}: relative {difference['relative']:.3g}, absolute {difference['absolute']:.3g}"
        for name, difference in report["outputs"].items()
        if difference["relative"] > report["tolerance"]
    ]
    return f"the converted model differs by more than {report['tolerance']:g} ({'; '.join(worst)})"
