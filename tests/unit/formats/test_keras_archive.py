"""Models of Keras 3, and the weights of both kinds of Keras files."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats.hdf5_groups import count_datasets
from klever.formats.hdf5_objects import UnreadableError
from klever.formats.weights import Weights
from klever.inspection.inspector import inspect

DATA = Path(__file__).parents[2] / "data"
V3 = DATA / "keras" / "v3"
WANTED = json.loads((V3 / "wanted.json").read_text())
WEIGHTS = zipfile.ZipFile(V3 / "branches.keras").read("model.weights.h5")


def read(directory: Path) -> formats.Signature:
    return formats.get(formats.detect(directory)).read_signature(directory)


@pytest.mark.parametrize("name", WANTED)
def test_shapes_and_weights_are_those_of_the_framework(tmp_path: Path, name: str) -> None:
    """The files and the answers are those of hack/models/keras_archive.py."""
    shutil.copy(V3 / f"{name}.keras", tmp_path)
    found = read(tmp_path)
    shapes = [[t.dtype, [None if dim == -1 else dim for dim in t.size or ()]] for t in found.inputs]
    assert shapes == [wanted[1:] for wanted in WANTED[name]["inputs"]]
    outputs = [[None if dim == -1 else dim for dim in t.size or ()] for t in found.outputs]
    assert outputs == WANTED[name]["outputs"]
    assert found.details.parameters == WANTED[name]["parameters"]
    assert found.details.format_version == "Keras 3"
    assert found.details.producer.startswith("Keras 3.")


def test_the_further_outputs_of_one_layer_are_numbered() -> None:
    found = read(DATA / "networks" / "keras" / "model")
    assert [tensor.name for tensor in found.outputs] == ["lstm", "lstm_1", "lstm_2"]


@pytest.mark.parametrize(
    ("layer", "config", "dtype", "size"),
    [
        ("TextVectorization", {"output_sequence_length": 7}, "int64", (-1, 7)),
        ("TextVectorization", {"output_mode": "int"}, "int64", (-1, -1)),
        ("TextVectorization", {"output_mode": "tf_idf"}, "float32", None),
        ("StringLookup", {}, "int64", (-1,)),
    ],
)
def test_text_becomes_numbers_of_tokens(
    tmp_path: Path, layer: str, config: dict[str, Any], dtype: str, size: tuple[int, ...] | None
) -> None:
    layers = [
        {"class_name": "InputLayer", "config": {"name": "text", "batch_shape": [None], "dtype": "string"}},
        {"class_name": layer, "config": {"name": "tokens", "dtype": "float32", **config}},
    ]
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": layers}}))
    (tokens,) = read(tmp_path).outputs
    assert (tokens.dtype, tokens.size) == (dtype, size)


def test_an_archive_of_keras_is_not_code(tmp_path: Path) -> None:
    shutil.copy(V3 / "branches.keras", tmp_path)
    assert inspect(tmp_path).findings == []


@pytest.mark.parametrize("name", ["m.keras", "m!.keras", "!a!b.keras"])
def test_an_archive_with_a_lambda_layer_is_code(tmp_path: Path, name: str) -> None:
    layer = {"class_name": "Lambda", "config": {"name": "y", "function": {"class_name": "__lambda__", "config": {}}}}
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))
    assert "Keras" in inspect(tmp_path).code_formats


@pytest.mark.parametrize("place", ["other.h5", "assets/model.weights.h5"])
def test_another_file_in_an_archive_is_still_looked_at(tmp_path: Path, place: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr(place, WEIGHTS)
    assert inspect(tmp_path).findings


def test_compressed_weights_are_a_warning(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(V3 / "branches.keras") as given,
        zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in given.namelist():
            archive.writestr(name, given.read(name))
    found = read(tmp_path)
    assert (found.details.parameters, len(found.details.warnings)) == (None, 1)
    assert len(found.outputs) == 2


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"metadata.json": b"{}"}, "config.json"),
        ({"config.json": b"{"}, "config.json is not valid JSON"),
        ({"config.json": b"[]"}, "config.json is invalid"),
        ({"config.json": b"{}", "metadata.json": b"{"}, "metadata.json is not valid JSON"),
        ({"config.json": b"{}", "model.weights.h5": b"x"}, "model.weights.h5 is not an HDF5 file"),
        ({"config.json": b"{}", "model.weights.h5": WEIGHTS[:-100]}, "truncated"),
    ],
)
def test_errors_name_the_fault(tmp_path: Path, members: dict[str, bytes], said: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InvalidError, match=rf"m\.keras.*{said}"):
        read(tmp_path)


def test_an_h5_file_that_was_cut_off_says_so(tmp_path: Path) -> None:
    content = (DATA / "h5" / "model" / "model.h5").read_bytes()
    (tmp_path / "m.h5").write_bytes(content[:-1])
    with pytest.raises(InvalidError, match=rf"m\.h5 .*truncated: it has {len(content) - 1} bytes of {len(content)}"):
        read(tmp_path)


def test_the_weights_of_an_hdf5_file_are_counted() -> None:
    assert count_datasets(io.BytesIO(WEIGHTS)) == Weights(45, 180)


@pytest.mark.parametrize("byte", [0, 1, 0xFF])
def test_damage_in_an_hdf5_file_is_found_or_harmless(byte: int) -> None:
    for at in range(0, len(WEIGHTS), 31):
        damaged = bytearray(WEIGHTS)
        damaged[at] = byte
        try:
            count_datasets(io.BytesIO(bytes(damaged)))
        except UnreadableError:
            continue
