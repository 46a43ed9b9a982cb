"""Columns of Spark MLlib models are those that Spark adds (hack/models/mllib.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats import Signature, Tensor

DATA = Path(__file__).parents[2] / "data" / "mllib"
WANTED = json.loads((DATA / "wanted.json").read_text())
TYPES = {"vector": "float64", "double": "float64", "int": "int32", "string": "string"}


def read(directory: Path) -> Signature:
    assert formats.detect(directory) == "MLlib"
    return formats.get("MLlib").read_signature(directory)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a model, to be changed."""
    return Path(shutil.copytree(DATA / "logistic", tmp_path / "model"))


def metadata(model: Path) -> Path:
    return next((model / "metadata").glob("part-*"))


@pytest.mark.parametrize("name", WANTED["models"])
def test_outputs_are_the_columns_that_spark_adds(name: str) -> None:
    signature = read(DATA / name)
    added = WANTED["models"][name]
    for tensor in signature.outputs:
        kind, length = added[tensor.name]
        assert (tensor.dtype, tensor.size) == (TYPES[kind], (-1,) if length is None else (-1, length))
    assert {tensor.name for tensor in signature.outputs} <= set(added)
    assert signature.outputs
    assert signature.details.producer == f"spark {WANTED['version']}"


@pytest.mark.parametrize("name", ["logistic", "forest", "linear", "gbt", "kmeans"])
def test_a_model_takes_vectors_of_its_number_of_features(name: str) -> None:
    assert read(DATA / name).inputs == (Tensor("features", (-1, 2), "float64"),)


def test_a_pipeline_takes_the_columns_that_no_stage_makes() -> None:
    signature = read(DATA / "pipeline")
    assert signature.inputs == (
        Tensor("c", (-1,), "string"), Tensor("p", (-1,), "float64"), Tensor("q", (-1,), "float64"),
    )  # fmt: skip
    assert list(signature.layers.values()) == [1, 1, 1, 1]
    assert signature.details.classes == ("0", "1", "2")


def test_a_model_of_the_old_api() -> None:
    signature = read(DATA / "old")
    assert signature.inputs == (Tensor("features", (-1, 2), "float64"),)
    assert signature.details.format_version == "spark.mllib 1.0"


def test_metadata_alone_is_read(model: Path) -> None:
    shutil.rmtree(model / "data")
    (model / "data").mkdir()
    assert read(model).inputs == (Tensor("features", (-1, -1), "float64"),)


INVALID: dict[str, Any] = {
    "nothing": b"",
    "a number": b"5",
    "a list": b"[1]",
    "nested lists": b"[" * 100_000,
    "no class": b"{}",
    "another's class": b'{"class": "com.evil.Model"}',
    "a class that is a list": b'{"class": ["org.apache.spark.ml.Model"]}',
    "parameters that are text": b'{"class": "org.apache.spark.ml.X", "paramMap": "x"}',
    "defaults that are a number": b'{"class": "org.apache.spark.ml.X", "defaultParamMap": 5}',
    "bytes that are not text": b'{"class": "\xff"}',
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_metadata_is_refused(model: Path, name: str) -> None:
    metadata(model).write_bytes(INVALID[name])
    with pytest.raises(InvalidError):
        read(model)


def footer(content: bytes) -> bytes:
    return b"PAR1" + content + len(content).to_bytes(4, "little") + b"PAR1"


PARQUET: dict[str, bytes] = {
    "nothing": b"",
    "no magic": b"PAR1" + bytes(20),
    "a footer of 4 GiB": b"PAR1\xff\xff\xff\xffPAR1",
    "a footer without an end": footer(b"\x15"),
    "structures within structures": footer(b"\x1c" * 1000),
    "lists within lists": footer(b"\x19" + b"\x19" * 1000),
    "a list of 2**60 values": footer(b"\x19\xf5" + b"\xff" * 8 + b"\x0f"),
    "a text of 2**60 bytes": footer(b"\x18" + b"\xff" * 8 + b"\x0f"),
    "a number of 100 bytes": footer(b"\x15" + b"\xff" * 100),
    "a type that does not exist": footer(b"\x1f"),
    "no row groups": footer(b"\x15\x02\x00"),
    "row groups that are a number": footer(b"\x35\x02\x15\x02\x00"),
}


@pytest.mark.parametrize("name", PARQUET)
def test_an_invalid_footer_is_refused(model: Path, name: str) -> None:
    next((model / "data").glob("*.parquet")).write_bytes(PARQUET[name])
    with pytest.raises(InvalidError, match=r"cannot read part-.*\.parquet"):
        read(model)


def test_links_are_not_followed(model: Path) -> None:
    shutil.rmtree(model / "data")
    (model / "data").symlink_to(DATA / "logistic" / "data")
    with pytest.raises(InvalidError, match="link"):
        read(model)


def test_a_pipeline_within_itself_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "model"
    for _ in range(12):
        (inner / "metadata").mkdir(parents=True)
        (inner / "metadata" / "part-00000").write_text(
            '{"class": "org.apache.spark.ml.PipelineModel", "paramMap": {"stageUids": ["x"]}}'
        )
        inner = inner / "stages" / "0_x"
    with pytest.raises(InvalidError, match="nested at most"):
        read(tmp_path / "model")
