"""What an inspection finds in a model's files. Files that the fixtures name `code-…` are code, `plain-…` are not."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import zipfile
import zlib
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest
from onnx import TensorProto, helper

from klever.errors import InvalidError
from klever.formats import Trust, get, least_trust, names
from klever.inspection.inspector import Inspection, inspect
from klever.inspection.verdict import MAX_SPEC, inspection_spec
from klever.limits import DEFAULTS, Limits

DATA = Path(__file__).parents[2] / "data"
FIXTURES = DATA / "inspection"
HEADER = b"{'descr': '|O', 'fortran_order': False,'shape':()}"
EVIL = b"cos\nmkdir\n(S'/nonexistent/ran'\ntR."
LAMBDA = b'{"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}'
TOO_DEEP = gzip.compress(gzip.compress(gzip.compress(gzip.compress(EVIL))))
DIGEST = f"sha256:{'0' * 64}"


def found_in(directory: Path, files: dict[str, bytes], limits: Limits = DEFAULTS) -> Inspection:
    """Inspect a directory with these files."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return inspect(directory, limits)


def zipped(members: dict[str, bytes], **options: Any) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*/*")), ids=lambda path: path.name)
def test_fixtures_of_joblib_and_keras(path: Path, tmp_path: Path) -> None:
    """They are written by joblib 1.6 and h5py 3.14."""
    found = found_in(tmp_path, {path.name: path.read_bytes()})
    assert [finding.path for finding in found.findings] == ([path.name] if path.name.startswith("code-") else [])
    if path.suffix == ".h5":
        assert found.code_formats == (["H5"] if path.name.startswith("code-") else [])


@pytest.mark.parametrize("model", ["onnx/model", "pmml/model", "savedmodel/model", "boosters", "mllib"])
def test_a_model_that_is_data_holds_no_code(model: str) -> None:
    found = inspect(DATA / model)
    assert found.files
    assert (found.findings, found.code_formats, found.unsafe_globals) == ([], [], set())


CODE: dict[str, tuple[str, bytes]] = {
    "Python": ("x.py", b"pass"),
    "compiled Python under another name": ("weights", b"\xa7\x0d\x0d\x0a\x01\0\0\0" + bytes(8)),
    "a library with a version": ("libx.so.1.2", b""),
    "ELF": ("weights", b"\x7fELF"),
    "a script": ("notes", b"#!/bin/sh"),
    "a jar": ("x.jar", b""),
    "a Java class": ("weights", b"\xca\xfe\xba\xbe"),
    "a pickle of text": ("weights", EVIL),
    "a pickle behind zlib": ("weights", zlib.compress(EVIL)),
    "a pickle behind gzip": ("weights", gzip.compress(EVIL)),
    "a pickle behind bz2": ("weights", bz2.compress(EVIL)),
    "a pickle behind xz": ("weights", lzma.compress(EVIL)),
    "a pickle behind lzma": ("weights", lzma.compress(EVIL, lzma.FORMAT_ALONE)),
    "a pickle behind gzip in gzip": ("weights", gzip.compress(gzip.compress(EVIL))),
    "gzip in gzip in gzip in gzip in gzip": ("weights", TOO_DEEP),
    "a pickle in the second member of a gzip": ("weights.pkl", gzip.compress(b"") + gzip.compress(EVIL)),
    "a pickle in a zip": ("weights", zipped({"a/data": EVIL})),
    "a Lambda layer in a .keras file": ("m.keras", zipped({"config.json": LAMBDA, "metadata.json": b"{}"})),
    "a Lambda layer in another case": ("m.keras", zipped({"Config.JSON": LAMBDA})),
    "a configuration that is not JSON": ("m.keras", zipped({"config.json": b"{"})),
    "a configuration that occurs twice": ("m.keras", zipped({"config.json": b"{}", "./config.json": b"{}"})),
    "a pickle in a zip, stored": ("weights", zipped({"a/data": EVIL}, compression=zipfile.ZIP_STORED)),
    "a zip behind other bytes": ("weights", b"\0" * 5000 + zipped({"x.py": b"pass"})),
    "a pickle with a zip behind it": ("weights", EVIL + zipped({"notes": b"x"})),
    "a zip in a zip": ("weights", zipped({"inner": zipped({"notes": b"x"})})),
    "a damaged zip": ("weights", zipped({"notes": b"x" * 99})[:60] + zipped({"notes": b"x" * 99})[70:]),
    "a zip of many disks": ("weights", zipped({"notes": b"x"})[:-22] + bytes(20) + b"PK\x06\x07" + b"\1" * 16
                            + zipped({"notes": b"x"})[-22:]),
    "a zip without an end": ("weights", zipped({"notes": b"x" * 99})[:60]),
    "an array of objects": ("x.npy", b"\x93NUMPY\x01\0" + bytes([len(HEADER), 0]) + HEADER + EVIL),
    "a pickle behind LZ4": ("weights", lz4.frame.compress(EVIL)),
    "zstd": ("weights", b"\x28\xb5\x2f\xfd" + bytes(20)),
    "tar": ("weights", bytes(257) + b"ustar\0" + bytes(250)),
    "a damaged joblib": ("x.joblib", b"ZF0x10" + bytes(20)),
    "an empty joblib": ("x.joblib", b""),
    "a damaged HDF5": ("weights", b"\x89HDF\r\n\x1a\n" + b"\xff" * 200),
    "HDF5 at 512": ("weights", bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(200)),
}  # fmt: skip


@pytest.mark.parametrize("what", CODE)
def test_a_file_that_can_be_code_is_found(what: str, tmp_path: Path) -> None:
    name, content = CODE[what]
    assert found_in(tmp_path, {name: content}).findings


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 1000, b"class of models\nand more\n", b"Import it with care.\n", b"Python is a language\n",
        b"In the beginning\n", b"(a note)\n", b"{}", json.dumps([1, 2]).encode(), b"x\x9cnot zlib", b"BZh is no bz2",
        b"\x1f\x8b", "ünïcode".encode(), random.Random(1).randbytes(100_000),
        gzip.compress(b"just text " * 100, mtime=0), zipped({"notes": b"text"}), pickle.dumps({"a": [1, 2, 3]}),
    ],
)  # fmt: skip
def test_a_file_that_is_data_is_not_taken_for_code(content: bytes, tmp_path: Path) -> None:
    assert not found_in(tmp_path, {"weights": content}).findings


def test_arrays_of_numbers_are_data_and_arrays_of_objects_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", a=np.arange(5.0), b=np.array(["x", None], dtype=object))
    np.save(tmp_path / "plain.npy", np.zeros((3, 4)))
    assert not inspect(tmp_path).findings
    np.save(tmp_path / "code.npy", np.array([Path("/x")], dtype=object), allow_pickle=True)
    assert [finding.path for finding in inspect(tmp_path).findings] == ["code.npy"]


def test_code_in_a_file_of_the_format_makes_the_content_code(tmp_path: Path) -> None:
    assert found_in(tmp_path, {"x.xgboost": EVIL, "x.onnx": b"\x08\x01"}).code_formats == ["XGBoost"]
    assert found_in(tmp_path, {"metadata/part-0": EVIL}).code_formats == ["XGBoost", "MLlib"]


def test_no_file_at_all_is_code_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    assert inspect(tmp_path).code_formats == [name for name in names() if get(name).trust is Trust.DATA]


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").symlink_to("/etc/passwd")
    (tmp_path / "directory").symlink_to("/etc")
    found = inspect(tmp_path)
    assert (found.files, found.bytes, len(found.findings)) == (2, 0, 2)


def test_the_formats_that_are_code() -> None:
    assert {name for name in names() if least_trust(name) is Trust.CODE} == {
        "SKLearn",
        "Pickle",
        "MLflow",
        "TorchScript",
    }
    assert least_trust("unknown") is Trust.CODE


def external(path: Path, location: str) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    inner = helper.make_graph([node], "inner", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    outer = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    graph = helper.make_graph(
        [outer], "outer", [condition], [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])]
    )
    path.write_bytes(helper.make_model(graph).SerializeToString())


def test_external_data_is_named_wherever_the_graph_has_it(tmp_path: Path) -> None:
    external(tmp_path / "m.onnx", "weights/w.bin")
    assert inspect(tmp_path).external_data == ["weights/w.bin"]


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "..\\x", "\\x"])
def test_external_data_outside_the_model_is_refused(tmp_path: Path, location: str) -> None:
    external(tmp_path / "m.onnx", location)
    with pytest.raises(InvalidError, match="outside the model directory") as refused:
        inspect(tmp_path)
    assert refused.value.reason == "UNSAFE_PATH"


def test_content_beyond_a_limit_counts_as_code(tmp_path: Path) -> None:
    bomb = gzip.compress(b"\x80\x04B\xff\xff\xff\x7f" + bytes(30 << 20))
    assert found_in(tmp_path, {"weights": bomb}, Limits(inspected_bytes=1 << 20)).findings
    many = zipped({f"{index}": b"" for index in range(100)})
    assert found_in(tmp_path, {"archive": many}, Limits(model_files=50)).findings


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as refused:
        found_in(tmp_path, {"a": b"", "b": b"", "c": b""}, Limits(model_files=2))
    assert refused.value.metadata == {"limit": "model_files"}


def test_a_record_is_small_whatever_was_found(tmp_path: Path) -> None:
    found = Inspection(files=9)
    for index in range(5000):
        found.add(f"{index}/" + "\x1b[31m\ud800é" * 2000, "why " * 5000)
    found.unsafe_globals = {f"module{index}." + "x" * 4000 for index in range(1000)}
    found.external_data = ["y" * 4000] * 1000
    spec = inspection_spec(found, DIGEST)
    assert len(json.dumps(spec)) <= MAX_SPEC
    assert (spec["codeFileCount"], spec["unsafeGlobalCount"], spec["externalDataCount"]) == (5000, 1000, 1000)
    assert all(file["path"].isprintable() for file in spec["codeFiles"])


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_end_no_inspection(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    for path in sorted(FIXTURES.glob("*/*")):
        content = bytearray(path.read_bytes())
        for _ in range(rng.randrange(1, 20)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / path.name).write_bytes(content[: rng.randrange(len(content))] if seed % 3 == 0 else content)
    assert inspect(tmp_path).files


def test_a_keras_file_of_kerass_own_layers_holds_no_code(tmp_path: Path) -> None:
    config = b'{"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": []}}'
    assert not found_in(tmp_path, {"m.keras": zipped({"config.json": config, "metadata.json": b"{}"})}).findings
