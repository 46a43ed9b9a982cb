"""Damaged models of tables are refused or read: no reader fails in another way."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klever import formats
from klever.errors import InvalidError

DATA = Path(__file__).parents[2] / "data"
FILES = {
    "SKLearn": ("estimators/protocol0.pkl", "estimators/protocol5.pkl", "estimators/logistic.joblib"),
    "XGBoost": ("boosters/dart.json", "boosters/probabilities.ubj", "boosters/binary.deprecated"),
    "LightGBM": ("boosters/classes.txt", "boosters/two.lightgbm.json"),
}
COMPRESSED = ("named", "forest", "forest_regressor", "boosting", "gradient", "tree")
NAMES = {"SKLearn": "m.joblib", "XGBoost": "m.ubj", "LightGBM": "m.txt"}
CASES = [
    *((name, DATA / path) for name, paths in FILES.items() for path in paths),
    *(("SKLearn", DATA / "estimators" / f"{name}.joblib") for name in COMPRESSED),
    ("MLflow", DATA / "mlflow" / "columns" / "MLmodel"),
    ("MLflow", DATA / "mlflow" / "unsigned" / "model.pkl"),
    *(("MLlib", path) for path in sorted((DATA / "mllib" / "logistic").rglob("part-*"))),
]
KINDS = ("cut", "overwrite", "insert")


def damaged(content: bytes, at: int, noise: bytes, kind: str) -> bytes:
    at %= len(content) + 1
    if kind == "cut":
        return content[:at]
    return content[:at] + noise + content[at + (len(noise) if kind == "overwrite" else 0) :]


def copied(name: str, path: Path, directory: Path) -> Path:
    """Copy the model that a file belongs to; returns the file's copy."""
    if name in NAMES:
        return Path(shutil.copy(path, directory / NAMES[name]))
    model = DATA / name.lower() / path.relative_to(DATA / name.lower()).parts[0]
    shutil.copytree(model, directory, dirs_exist_ok=True)
    return directory / path.relative_to(model)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(CASES),
    st.integers(0),
    st.binary(min_size=1, max_size=8),
    st.sampled_from(["cut", "overwrite", "insert"]),
)
def test_a_damaged_file_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, Path], at: int, noise: bytes, kind: str
) -> None:
    name, path = case
    directory = tmp_path_factory.mktemp("damaged")
    copy = copied(name, path, directory)
    copy.write_bytes(damaged(path.read_bytes(), at, noise, kind))
    with suppress(InvalidError):
        formats.get(name).read_signature(directory)
