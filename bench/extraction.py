"""Reading signatures next to the frameworks' own loaders.

Run `python bench/extraction.py --python ENV/bin/python [NAME...]`. ENV has scikit-learn 1.9.1, xgboost-cpu
3.2.0, lightgbm 4.7.0, mlflow-skinny 3.17.2, lz4 and pandas. It makes the models and loads them. Times are those of a
whole process, with its start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
KLEVER = "import sys; from pathlib import Path; from klever import formats; "
KLEVER += "formats.get(sys.argv[1]).read_signature(Path(sys.argv[2]))"
NEIGHBORS = """
import sys, joblib, numpy
from sklearn.neighbors import KNeighborsClassifier
rows = numpy.random.default_rng(0).normal(size=(50_000, 100))
model = KNeighborsClassifier(algorithm="brute").fit(rows, rows[:, 0] > 0)
"""
FOREST = """
import sys, joblib, numpy
from sklearn.ensemble import RandomForestClassifier
rows = numpy.random.default_rng(0).normal(size=(10_000, 20))
model = RandomForestClassifier(100, max_depth=12).fit(rows, rows[:, :3].argmax(1))
"""
BOOSTER = """
import sys, numpy, xgboost
rows = numpy.random.default_rng(0).normal(size=(10_000, 20))
data = xgboost.DMatrix(rows, rows[:, :3].argmax(1))
model = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 9}, data, 100)
"""
LIGHTGBM = """
import sys, numpy, lightgbm
rows = numpy.random.default_rng(0).normal(size=(10_000, 20))
data = lightgbm.Dataset(rows, rows[:, :3].argmax(1))
model = lightgbm.train({"objective": "multiclass", "num_class": 3, "num_leaves": 63, "verbose": -1}, data, 100)
"""
MLFLOW = """
import sys, mlflow.sklearn, numpy
from sklearn.linear_model import LogisticRegression
from mlflow.models import infer_signature
rows = numpy.random.default_rng(0).normal(size=(100, 20))
model = LogisticRegression().fit(rows, rows[:, 0] > 0)
signature = infer_signature(rows, model.predict(rows))
mlflow.sklearn.save_model(
    model, sys.argv[1], signature=signature, serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
)
"""


@dataclass(frozen=True)
class Case:
    """A model: the program that writes it into the directory argv[1], and the one that loads the file argv[1]."""

    name: str
    format: str
    file: str
    make: str
    load: str


def joblib(name: str, make: str, compress: str) -> Case:
    dump = f"joblib.dump(model, sys.argv[1] + '/m.joblib', compress={compress})\n"
    return Case(name, "SKLearn", "m.joblib", make + dump, "import sys, joblib; joblib.load(sys.argv[1])")


def xgboost(kind: str) -> Case:
    save = f"model.save_model(sys.argv[1] + '/model.{kind}')\n"
    load = "import sys, xgboost; xgboost.Booster(model_file=sys.argv[1])"
    return Case(f"XGBoost {kind}", "XGBoost", f"model.{kind}", BOOSTER + save, load)


CASES = (
    joblib("joblib, one array", NEIGHBORS, "0"),
    joblib("joblib, one array, zlib", NEIGHBORS, "('zlib', 3)"),
    joblib("joblib, one array, lz4", NEIGHBORS, "('lz4', 3)"),
    joblib("joblib, forest", FOREST, "0"),
    joblib("joblib, forest, zlib", FOREST, "('zlib', 3)"),
    joblib("joblib, forest, gzip", FOREST, "('gzip', 3)"),
    joblib("joblib, forest, bz2", FOREST, "('bz2', 3)"),
    joblib("joblib, forest, lzma", FOREST, "('lzma', 3)"),
    joblib("joblib, forest, xz", FOREST, "('xz', 3)"),
    joblib("joblib, forest, lz4", FOREST, "('lz4', 3)"),
    xgboost("json"),
    xgboost("ubj"),
    Case(
        "LightGBM text",
        "LightGBM",
        "model.txt",
        LIGHTGBM + "model.save_model(sys.argv[1] + '/model.txt')\n",
        "import sys, lightgbm; lightgbm.Booster(model_file=sys.argv[1])",
    ),
    Case(
        "MLflow", "MLflow", "", MLFLOW, "import sys, mlflow.pyfunc; mlflow.pyfunc.load_model(sys.argv[1])"
    ),
)  # fmt: skip


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="the Python of the frameworks' environment")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a row's name")
    options = parser.parse_args()
    cases = [case for case in CASES if not options.names or any(name in case.name for name in options.names)]
    start = measured([run(sys.executable, "-c", "import klever.formats") for _ in range(ROUNDS)])
    print(f"an empty process that imports klever.formats: {start[0]:.2f} s, {start[1]:.0f} MiB")
    print(f"{'model':26}{'MB':>7}{'Klever s':>10}{'MiB':>6}{'loader s':>10}{'MiB':>6}{'faster':>8}{'less':>6}")
    with tempfile.TemporaryDirectory() as directory:
        for number, case in enumerate(cases):
            model = Path(directory) / str(number)
            model.mkdir()
            run(options.python, "-c", case.make, str(model))
            klever = measured([run(sys.executable, "-c", KLEVER, case.format, str(model)) for _ in range(ROUNDS)])
            file = str(model / case.file) if case.file else str(model)
            loader = measured([run(options.python, "-c", case.load, file) for _ in range(ROUNDS)])
            print(
                f"{case.name:26}{megabytes(model):7.1f}{klever[0]:10.2f}{klever[1]:6.0f}{loader[0]:10.2f}"
                f"{loader[1]:6.0f}{loader[0] / klever[0]:7.1f}x{loader[1] / klever[1]:5.1f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
