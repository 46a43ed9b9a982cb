"""The steps of every conversion: convert, compare, report."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ConversionError

__all__ = ["convert"]


def convert(request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write the converted model to the request's `output` and the report beside it, to `report.json`.

    Exits with a message if the model cannot be converted, or if its outputs differ by more than the tolerance.
    """
    try:
        report = _convert(request, env)
    except ConversionError as error:
        sys.exit(str(error))
    Path(request["report"]).write_text(json.dumps(report))
    if not report.get("passed", True):
        sys.exit(_failure(report))


def _convert(request: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    pair = importlib.import_module(f".{request['program']}", __package__)
    output = Path(request["output"])
    output.mkdir(parents=True)
    begin = time.monotonic()
    pair.convert(Path(request["model"]), output, request, env)
    print(f"converted in {time.monotonic() - begin:.1f} s", flush=True)
    report: dict[str, Any] = pair.verify(Path(request["model"]), output, request)
    return report


def _failure(report: Mapping[str, Any]) -> str:
    worst = [
        f"{name}: relative {difference['relative']:.3g}, absolute {difference['absolute']:.3g}"
        for name, difference in report["outputs"].items()
        if difference["relative"] > report["tolerance"]
    ]
    return f"the converted model differs by more than {report['tolerance']:g} ({'; '.join(worst)})"
