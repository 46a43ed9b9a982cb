"""The steps of every conversion: convert, run both models, report how far they differ."""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from klever.converters.programs.compare import check, compare
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import with_inputs

__all__ = ["convert"]

_MAX_MESSAGE: Final = 1000


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
        report = _compare(model, output, request, float(env.get("TOLERANCE") or request["options"]["tolerance"]))
    except ConversionError as error:
        sys.exit(_shortened(str(error)))
    except Exception as error:  # of a damaged model, or of a framework: the job's log has where
        traceback.print_exc(file=sys.stdout)
        sys.exit(_shortened(f"the model cannot be converted: {type(error).__name__}: {error}"))
    Path(request["report"]).write_text(json.dumps(report))
    if not report["passed"]:
        sys.exit(_failure(report))


def _steps(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Run each pair's module. What a step but the last one writes is beside the output."""
    steps = request["options"]["steps"]
    for index, step in enumerate(steps):
        target = output if index == len(steps) - 1 else output.with_name(f"step{index}")
        target.mkdir(parents=True)
        importlib.import_module(f".{step}", __package__).convert(model, target, request, env)
        model = target


def _compare(model: Path, output: Path, request: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """Return the report. A side without a runner cannot run any more."""
    options = request["options"]
    source, target = options["runner"], options["target_runner"]
    if not target:
        return {"samples": [], "outputs": {}, "passed": True, "not_compared": options["not_compared"]}
    run, inputs = _load(target, output, request)
    if not source:
        return check(inputs, run) | {"not_compared": options["not_compared"]}
    expected, _ = _load(source, model, request)
    return compare(inputs, expected, run, tolerance)


def _load(name: str, model: Path, request: Mapping[str, Any]) -> Any:
    """Return a function that runs the model, and the model's inputs."""
    return importlib.import_module(f".{name}", __package__).load(model, request)


def _shortened(message: str) -> str:
    """Return the beginning of a message: some tools put the whole model into theirs."""
    return message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}…"


def _failure(report: Mapping[str, Any]) -> str:
    worst = [
        f"{name}: relative {difference['relative']:.3g}, absolute {difference['absolute']:.3g}"
        for name, difference in report["outputs"].items()
        if difference["relative"] > report["tolerance"]
    ]
    return f"the converted model differs by more than {report['tolerance']:g} ({'; '.join(worst)})"
