"""Reading signatures next to the frameworks' own loaders.

Run `python bench/extraction.py --python ENV/bin/python [--python …] [NAME...]`. The environments make the models and
load them: scikit-learn 1.9.1, xgboost-cpu 3.2.0, lightgbm 4.7.0, mlflow-skinny 3.17.2, lz4 and pandas for tables;
tensorflow-cpu 2.21.0, tf_keras and keras, mxnet 1.9.1, opencv-python-headless 4.11, gguf and safetensors for networks.
A row is left out if no environment has its framework. Times are those of a whole process, with its start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.extraction_case import Case
from bench.extraction_networks import NETWORKS
from bench.extraction_tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
KLEVER = "import sys; from pathlib import Path; from klever import formats; "
KLEVER += "formats.get(sys.argv[1]).read_signature(Path(sys.argv[2]))"


def run(python: str, *arguments: str) -> tuple[float, float]:
    """Run a program; returns its seconds and its peak of resident memory in MiB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "1"}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([python, *arguments], env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{arguments[-1]}: {log.read().decode(errors='replace')[-2000:]}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def measured(runs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return median(seconds for seconds, _ in runs), max(mib for _, mib in runs)


def megabytes(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


def environment(case: Case, pythons: list[str]) -> str:
    """Return the first Python that has what the case needs; empty if none has."""
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({case.needs!r}) is None)"
    for python in pythons:
        if not case.needs or not subprocess.run([python, "-c", find], check=False, timeout=60).returncode:
            return python
    return ""


def measure(case: Case, python: str, model: Path) -> str:
    """Make the model in a directory, and return its row."""
    run(python, "-c", case.make, str(model))
    klever = measured([run(sys.executable, "-c", KLEVER, case.format, str(model)) for _ in range(ROUNDS)])
    row = f"{case.name:26}{megabytes(model):7.1f}{klever[0]:10.2f}{klever[1]:6.0f}"
    if not case.load:
        return row
    file = str(model / case.file) if case.file else str(model)
    loader = measured([run(python, "-c", case.load, file) for _ in range(ROUNDS)])
    return f"{row}{loader[0]:10.2f}{loader[1]:6.0f}{loader[0] / klever[0]:7.1f}x{loader[1] / klever[1]:5.1f}x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", default=[], help="the Python of an environment of frameworks")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a row's name")
    options = parser.parse_args()
    cases = [c for c in (*TABLES, *NETWORKS) if not options.names or any(name in c.name for name in options.names)]
    start = measured([run(sys.executable, "-c", "import klever.formats") for _ in range(ROUNDS)])
    print(f"an empty process that imports klever.formats: {start[0]:.2f} s, {start[1]:.0f} MiB")
    print(f"{'model':26}{'MB':>7}{'Klever s':>10}{'MiB':>6}{'loader s':>10}{'MiB':>6}{'faster':>8}{'less':>6}")
    for case in cases:
        if python := environment(case, [*options.python, sys.executable]):
            with tempfile.TemporaryDirectory() as model:
                print(measure(case, python, Path(model)), flush=True)


if __name__ == "__main__":
    main()
