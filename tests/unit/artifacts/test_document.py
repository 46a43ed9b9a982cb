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
    ("fields", "field", "said"),
    [
        ({"signature": {"layers": {"Add": 2**31}}}, "signature.layers.Add", "is not within -2147483648..2147483647"),
        ({"signature": {"inputs": [{"name": "x", "size": [2**63]}]}}, "signature.inputs[0].size[0]", "is not within"),
        ({"signature": {"inputs": [None]}}, "signature.inputs[0]", "must not be null"),
        ({"signature": {"details": {"memoryBytes": 2**63}}}, "signature.details.memoryBytes", "is not within"),
        ({"author": "\ud800"}, "author", "holds half of a character"),
        ({"labels": {"\udfff": "x"}}, "labels", "a name holds half of a character"),
    ],
)
def test_what_no_client_could_be_told_is_no_config(fields: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidError) as caught:
        decoded(json.dumps({**FULL, **fields}).encode())
    (violation,) = caught.value.violations
    assert violation.field == field
    assert said in violation.description


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"author": 1}', "author: must be text"),
        ('{"tags": "a"}', "tags: must be a list"),
        ('{"metrics": {"set": [{"value": 0.9}]}}', r"metrics.set\[0\].value: must be text"),
        ('{"signature": {"inputs": [{"size": ["1"]}]}}', r"signature.inputs\[0\].size\[0\]: must be a whole number"),
        ('{"signature": {"layers": {"Add": true}}}', "signature.layers.Add: must be a whole number"),
        ('{"training": {"git": []}}', "training.git: must be an object"),
        ('{"created": "yesterday"}', "created: 'yesterday' is not an RFC 3339 time"),
        ('{"created": "2024-13-01T00:00:00Z"}', "created"),
    ],
)
def test_a_wrong_field_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: [a", "is not YAML"),
        ("just text", "must be an object"),
        ("format: [ONNX]", r"ormbfile.yaml: format: must be text"),
        ("signature: {inputs: [{size: [1, two]}]}", r"ormbfile.yaml: signature.inputs\[0\].size\[1\]: 'two' is not a"),
        ("created: 2024-05-01", "is not an RFC 3339 time"),
        ("labels: &a {a: *a}", "ormbfile.yaml"),
        ("author: \xff", "ormbfile.yaml is not UTF-8 text"),
        ("formt: ONNX", "ormbfile.yaml: formt: unknown field; there are author, created"),
        ("signature: {inputs: [{nmae: x}]}", r"signature.inputs\[0\].nmae: unknown field; there are name, size, dType"),
        ("format: ONNX\nformat: PMML", "ormbfile.yaml: format: stands twice"),
        ("format: ONNX\nFormat: PMML", "ormbfile.yaml: Format: is format once more"),
    ],
)
def test_a_wrong_ormbfile_is_named_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        ormbfile(tmp_path, text)


def test_no_ormbfile_or_an_empty_one(tmp_path: Path) -> None:
    assert read_ormbfile(tmp_path / "ormbfile.yaml") is None
    assert ormbfile(tmp_path, "") == {}


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "ormbfile.yaml"
    metadata = document.decode(FULL)
    write_ormbfile(path, metadata)
    assert read_ormbfile(path) == replace(metadata, files=())
    assert yaml.safe_load(path.read_text())["metrics"]["set"][0]["value"] == "0.90"


def test_what_a_newer_tool_added_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ormbfile.yaml"
    tensor = {"name": "x", "size": None, "quantised": True}
    newer = {"format": "ONNX", "later": 1, "labels": {"any": "a"}, "signature": {"inputs": [tensor]}}
    write_ormbfile(path, document.decode(newer))
    assert yaml.safe_load(path.read_text()) == {
        "labels": {"any": "a"}, "format": "ONNX", "signature": {"inputs": [{"name": "x"}]},
    }  # fmt: skip
