"""Conversions of whole networks and of models of tables: how many succeed, how exact they are, and what they need.

Run `python bench/conversion.py [--keep DIR] [NAME...]`. It uses the environments of the converters (`klever env
install`), which also make the models, with random weights. The time is that of the whole program, in which the
comparison is included; the memory is the peak of all its processes together. MXNet's and Caffe's networks are compared
with the recorded answers of mxnet 1.9.1 and OpenCV (hack/models).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.conversion_models import MODELS, RECORDED, Case
from klever import formats
from klever.artifacts import document, ormbfile
from klever.artifacts.metadata import ModelMetadata
from klever.cmd.data import default_cache
from klever.converters.table import converter
from klever.environments import EnvironmentManager
from klever.errors import KleverError
from klever.process.shim.proc import descendants, memory

POLL_S = 0.02
LIMIT_S = 1800
ANSWER = """
import sys, json, numpy, onnxruntime
model, recorded = sys.argv[1:3]
found = onnxruntime.InferenceSession(model).run(None, {"data": numpy.load(recorded)["input"]})[0]
answer = numpy.load(recorded)["answer"]
print(float(abs(found - answer).max() / abs(answer).max()))
"""


@dataclass(frozen=True)
class Result:
    """`difference` is the largest relative one, None without a comparison; `failure` is empty if the model converts."""

    megabytes: float
    seconds: float
    mebibytes: float
    difference: float | None = None
    failure: str = ""

    def __str__(self) -> str:
        found = f"{self.megabytes:8.1f}{self.seconds:8.1f}{self.mebibytes:8.0f}"
        return f"{found}  {self.failure or ('-' if self.difference is None else f'{self.difference:.1e}')}"


def python(environment: str) -> str:
    manager = EnvironmentManager(default_cache() / "environments")
    return str(asyncio.run(manager.ensure(environment)) / "bin" / "python")


def tracked(argv: list[str], env: Mapping[str, str]) -> tuple[int, str, float, float]:
    """Run a program; returns its exit code, standard error, seconds, and the peak of its memory in MiB."""
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(argv, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None and time.perf_counter() - start < LIMIT_S:
            peak = max(peak, memory([process.pid, *descendants(process.pid)], 0))
            time.sleep(POLL_S)
        process.kill()
        errors.seek(0)
        return process.wait(), errors.read().decode(errors="replace"), time.perf_counter() - start, peak / (1 << 20)


def convert(case: Case, root: Path) -> Result:
    """Make the model and run the program of its pair as a job does, without the sandbox."""
    model = root / "model"
    model.mkdir()
    case.make(model, python)
    megabytes = sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 1e6
    try:
        described = ormbfile.read_ormbfile(root / ormbfile.NAME)  # of a model whose files have no shapes
        signature = described.signature if described else formats.get(case.source).read_signature(model)
    except KleverError as error:
        return Result(megabytes, 0, 0, failure=error.message)
    found = converter(case.source, case.target)
    request = {
        "model": str(model),
        "output": str(root / "out" / "model"),
        "report": str(root / "out" / "report.json"),
        "metadata": document.encode(ModelMetadata(format=case.source, signature=signature)),
        "options": dict(found.options),
    }
    (root / "request.json").write_text(json.dumps(request))
    argv = [python(found.environment), "-I", str(found.program), str(root / "request.json")]
    code, errors, seconds, mebibytes = tracked(argv, _inputs(root / RECORDED))
    failure = (errors.strip().splitlines() or [f"exit code {code}"])[-1][:150] if code else ""
    difference = None if code else _difference(root)
    return Result(megabytes, seconds, mebibytes, difference, failure)


def _inputs(recorded: Path) -> dict[str, str]:
    """Return the variable INPUTS: the files of MXNet have no shapes."""
    if not recorded.exists():
        return {}
    size = [-1, *np.load(recorded)["input"].shape[1:]]
    return {"INPUTS": json.dumps([{"name": "data", "dType": "float32", "size": size}])}


def _difference(root: Path) -> float | None:
    recorded = root / RECORDED
    if recorded.exists():
        argv = [python("onnx"), "-c", ANSWER, str(root / "out" / "model" / "model.onnx"), str(recorded)]
        return float(subprocess.run(argv, capture_output=True, check=True, timeout=LIMIT_S).stdout)
    outputs: dict[str, Any] = json.loads((root / "out" / "report.json").read_bytes())["outputs"]
    return max((one["relative"] for one in outputs.values()), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a row's name")
    options = parser.parse_args()
    cases = [case for case in MODELS if not options.names or any(name in str(case) for name in options.names)]
    results: dict[str, list[Result]] = defaultdict(list)
    print(f"{'model':52}{'MB':>8}{'s':>8}{'MiB':>8}  largest relative difference, or the error")
    for case in cases:
        with tempfile.TemporaryDirectory() as root:
            result = convert(case, Path(root))
        results[f"{case.group}, {case.source} to {case.target}"].append(result)
        print(f"{case!s:52}{result}", flush=True)
    print(f"\n{'group':52}{'converted':>12}{'difference':>12}{'s, most':>9}{'MiB, most':>11}")
    for group, found in results.items():
        converted = [result for result in found if not result.failure]
        worst = max((result.difference for result in converted if result.difference is not None), default=float("nan"))
        count = f"{len(converted)} of {len(found)}"
        seconds, mebibytes = max(r.seconds for r in found), max(r.mebibytes for r in found)
        print(f"{group:52}{count:>12}{worst:12.1e}{seconds:9.1f}{mebibytes:11.0f}")


if __name__ == "__main__":
    main()
