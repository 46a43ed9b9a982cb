"""The ORMB document and ormbfile.yaml: Go's JSON byte for byte, unknown fields kept, wrong ones named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from klever.artifacts import document
from klever.artifacts.dialects.ormb import Ormb
from klever.artifacts.metadata import GitSource, ModelMetadata
from klever.artifacts.ormbfile import read_ormbfile, write_ormbfile
from klever.errors import InvalidError
from klever.formats import Details, LanguageModel, Signature, Tensor
from tests.errors import because

FULL = {
    "author": "Ce Gao <gaoce@caicloud.io>",
    "created": "2024-05-01T12:00:00Z",
    "description": "adds",
    "tags": ["demo"],
    "labels": {"a": "1", "b": "2"},
    "format": "SavedModel",
    "gpuType": "T4",
    "framework": "TensorFlow",
    "metrics": {"set": [{"name": "accuracy", "value": "0.90"}]},
    "hyperParameters": [{"name": "rate", "value": "1e-3"}],
    "signature": {
        "inputs": [{"name": "x", "size": [-1, 3], "dType": "float32", "opType": "continuous", "values": ["1"]}],
        "outputs": [{"name": "y", "dType": "int64"}],
        "layers": {"Add": 1},
        "details": {"producer": "tf", "parameters": 0, "languageModel": {"architecture": "llama"}},
    },
    "training": {"git": {"repository": "git@x:y.git", "revision": "22f1d8406d464b0c0874075539c1f2e96c253775"}},
    "dataset": {"git": {"repository": "git@x:z.git"}},
    "directoryStructure": ["model/saved_model.pb"],
}


def ormbfile(tmp_path: Path, text: str) -> dict[str, Any] | None:
    (tmp_path / "ormbfile.yaml").write_text(text, encoding="latin-1")
    metadata = read_ormbfile(tmp_path / "ormbfile.yaml")
    return None if metadata is None else document.encode(metadata)


def decoded(config: bytes) -> ModelMetadata:
    return document.decode(document.parse(config))


def test_every_field_is_read() -> None:
    config = decoded(json.dumps(FULL).encode())
    assert (config.author, config.format, config.framework, config.gpu_type) == (
        "Ce Gao <gaoce@caicloud.io>", "SavedModel", "TensorFlow", "T4",
    )  # fmt: skip
    assert config.metrics == (("accuracy", "0.90"),)
    assert config.hyper_parameters == (("rate", "1e-3"),)
    assert config.signature == Signature(
        (Tensor("x", (-1, 3), "float32", "continuous", ("1",)),), (Tensor("y", None, "int64"),), {"Add": 1},
        Details(producer="tf", parameters=0, language_model=LanguageModel("llama")),
    )  # fmt: skip
    assert config.training == GitSource("git@x:y.git", "22f1d8406d464b0c0874075539c1f2e96c253775")
    assert (config.tags, config.labels) == (("demo",), {"a": "1", "b": "2"})
    assert config.files == ("model/saved_model.pb",)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"signature": {"layers": {"Add": 2**31}}}, "signature.layers.Add"),
        ({"signature": {"inputs": [{"name": "x", "size": [2**63]}]}}, "signature.inputs[0].size[0]"),
        ({"signature": {"inputs": [None]}}, "signature.inputs[0]"),
        ({"signature": {"details": {"memoryBytes": 2**63}}}, "signature.details.memoryBytes"),
        ({"author": "\ud800"}, "author"),
        ({"labels": {"\udfff": "x"}}, "labels"),
    ],
)
def test_values_that_no_client_can_receive_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError, check=because("CONFIG_INVALID", field)):
        decoded(json.dumps({**FULL, **fields}).encode())


def test_a_count_of_layers_may_be_missing() -> None:
    config = decoded(json.dumps({**FULL, "signature": {"layers": {"Add": None}}}).encode())
    assert config.signature == Signature((), (), {"Add": 0})


def test_an_empty_config_has_empty_fields() -> None:
    config = decoded(b'{"labels":null,"signature":{}}')
    assert (config.author, config.signature, config.labels, config.training) == ("", None, {}, GitSource())


def test_a_signature_written_back_leaves_every_other_byte() -> None:
    before = (
        b'{"zoo":{"b":1,"a":[1.5,null]},"author":"\\u003cme\\u003e \xc3\xa9","created":"0001-01-01T00:00:00Z",'
        b'"format":"ONNX","x-later":true,"directoryStructure":["model/m.onnx"],"end":1}'
    )
    signature = Signature(
        (Tensor("X", (1, 5), "float32"), Tensor("s", (), "int64")), (Tensor("Z"),), {"Mul": 2, "Add": 1}
    )
    after = Ormb().encode(replace(decoded(before), signature=signature), before)
    added = (
        b'"signature":{"inputs":[{"name":"X","size":[1,5],"dType":"float32"},{"name":"s","size":[],"dType":"int64"}],'
        b'"outputs":[{"name":"Z"}],"layers":{"Add":1,"Mul":2}},'
    )
    assert after.replace(added, b"") == before
    assert after.index(added) < after.index(b'"directoryStructure"')
    assert decoded(after).signature == signature
    assert Ormb().encode(decoded(after), after) == after


@pytest.mark.parametrize("text", ["[]", "{"])
def test_a_config_that_is_not_a_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        decoded(text.encode())


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"author": 1}', "author"),
        ('{"tags": "a"}', "tags"),
        ('{"metrics": {"set": [{"value": 0.9}]}}', "metrics.set[0].value"),
        ('{"signature": {"inputs": [{"size": ["1"]}]}}', "signature.inputs[0].size[0]"),
        ('{"signature": {"layers": {"Add": true}}}', "signature.layers.Add"),
        ('{"training": {"git": []}}', "training.git"),
        ('{"created": "yesterday"}', "created"),
        ('{"created": "2024-13-01T00:00:00Z"}', "created"),
    ],
)
def test_a_wrong_field_is_named(text: str, field: str) -> None:
    with pytest.raises(InvalidError, check=because("CONFIG_INVALID", field)):
        decoded(text.encode())


def test_ormbfile_is_text_and_names_fold(tmp_path: Path) -> None:
    fields = ormbfile(
        tmp_path,
        """
        Format: ONNX
        created: 2024-05-01T12:00:00Z
        metrics: {set: [{name: accuracy, value: 0.10}]}
        signature: {inputs: [{name: data, size: [1, -1], dtype: float32}], outputs: [{name: 0, size: []}]}
        labels: {gpu: yes, empty: ""}
        description:
        """,
    )
    assert fields == {
        "created": "2024-05-01T12:00:00Z",
        "labels": {"empty": "", "gpu": "yes"},
        "format": "ONNX",
        "metrics": {"set": [{"name": "accuracy", "value": "0.10"}]},
        "signature": {
            "inputs": [{"name": "data", "size": [1, -1], "dType": "float32"}], "outputs": [{"name": "0", "size": []}],
        },
    }  # fmt: skip
    assert list(fields) == ["created", "labels", "format", "metrics", "signature"]


@pytest.mark.parametrize("text", ["format: [a", "author: \xff", "format: ONNX\nformat: PMML"])
def test_an_ormbfile_that_is_not_good_yaml_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidError, match=r"ormbfile\.yaml"):
        ormbfile(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("just text", ""),
        ("format: [ONNX]", "format"),
        ("signature: {inputs: [{size: [1, two]}]}", "signature.inputs[0].size[1]"),
        ("created: 2024-05-01", "created"),
        ("formt: ONNX", "formt"),
        ("signature: {inputs: [{nmae: x}]}", "signature.inputs[0].nmae"),
        ("format: ONNX\nFormat: PMML", "Format"),
    ],
)
def test_a_wrong_field_of_an_ormbfile_is_named_with_its_path(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "ormbfile.yaml"
    with pytest.raises(InvalidError, check=because("CONFIG_INVALID", f"{path}: {field}" if field else str(path))):
        ormbfile(tmp_path, text)


def test_no_ormbfile_or_an_empty_one(tmp_path: Path) -> None:
    assert read_ormbfile(tmp_path / "ormbfile.yaml") is None
    assert ormbfile(tmp_path, "") == {}


def test_documents_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "ormbfile.yaml"
    metadata = document.decode(FULL)
    write_ormbfile(path, metadata)
    assert read_ormbfile(path) == replace(metadata, files=())
    assert yaml.safe_load(path.read_text())["metrics"]["set"][0]["value"] == "0.90"


def test_unknown_fields_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ormbfile.yaml"
    tensor = {"name": "x", "size": None, "quantised": True}
    newer = {"format": "ONNX", "later": 1, "labels": {"any": "a"}, "signature": {"inputs": [tensor]}}
    write_ormbfile(path, document.decode(newer))
    assert yaml.safe_load(path.read_text()) == {
        "labels": {"any": "a"}, "format": "ONNX", "signature": {"inputs": [{"name": "x"}]},
    }  # fmt: skip
