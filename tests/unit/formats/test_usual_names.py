"""Formats are recognised by the names that frameworks and tutorials give their files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from klever import formats
from klever.errors import InvalidError
from tests.errors import because

DATA = Path(__file__).parents[2] / "data"


def only_file(directory: str) -> Path:
    (found,) = (path for path in (DATA / directory).iterdir() if path.is_file())
    return found


@pytest.mark.parametrize(
    ("source", "name", "format_"),
    [
        ("h5/model", "model.hdf5", "H5"),
        ("graphdef/model", "frozen_inference_graph.pb", "GraphDef"),
        ("torchscript/model", "model.pth", "TorchScript"),
    ],
)
def test_usual_names_are_recognised_and_read(tmp_path: Path, source: str, name: str, format_: str) -> None:
    shutil.copy(only_file(source), tmp_path / name)
    assert formats.detect(tmp_path) == format_
    assert formats.get(format_).read_signature(tmp_path).inputs


@pytest.mark.parametrize("source", ["savedmodel/model", "netdef/model"])
def test_other_models_of_pb_files_stay_what_they_are(source: str) -> None:
    assert formats.detect(DATA / source) in ("SavedModel", "NetDef")


def test_the_metadata_of_a_saved_model_are_no_graph(tmp_path: Path) -> None:
    shutil.copytree(DATA / "savedmodel/model", tmp_path, dirs_exist_ok=True)
    (tmp_path / "fingerprint.pb").write_bytes(b"\x09\x01\x02\x03\x04\x05\x06\x07\x08")
    assert formats.detect(tmp_path) == "SavedModel"


@pytest.mark.parametrize("content", [b"\x08\x07\x12\x04test", b"", b"\n\x04name\x12"])
def test_another_pb_file_is_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pb").write_bytes(content)
    with pytest.raises(InvalidError, check=because("FORMAT_UNKNOWN")) as raised:
        formats.detect(tmp_path)
    for row in formats.FORMATS.values():
        assert not row.files or f"{row.name} needs" in str(raised.value)
