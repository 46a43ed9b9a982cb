"""GGUF files, written by hand after ggml/docs/gguf.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats import Details, LanguageModel
from tests.unit.formats.gguf import F16, Q4_K, U32, array, gguf, key, strings, tensor, text


def read(directory: Path) -> Details:
    return formats.get(formats.detect(directory)).read_signature(directory).details


LLAMA = (
    text("general.architecture", "llama"),
    key("general.file_type", U32, 15),
    text("general.quantized_by", "somebody"),
    key("llama.context_length", U32, 4096),
    key("llama.embedding_length", U32, 64),
    key("llama.block_count", U32, 2),
    key("llama.attention.head_count", U32, 8),
    key("llama.attention.head_count_kv", U32, 2),
    strings("tokenizer.ggml.tokens", ["a", "b", "c"]),
    text("tokenizer.chat_template", "{{ messages }}"),
)


@pytest.mark.parametrize("version", [2, 3])
def test_a_language_model(tmp_path: Path, version: int) -> None:
    tensors = [tensor("output", F16, 0, 3, 5), tensor("token_embd", Q4_K, 32, 256, 2)]
    (tmp_path / "m.gguf").write_bytes(gguf(*LLAMA, tensors=tensors, data=32 + 2 * 144, version=version))
    weights, cache = 30 + 2 * 144, 4096 * 2 * 2 * 16 * 2 + 512 * 3 * 4
    assert read(tmp_path) == Details(
        format_version=f"GGUF {version}",
        producer="somebody",
        parameters=15 + 512,
        parameter_bytes=weights,
        memory_bytes=weights + cache,
        language_model=LanguageModel("llama", "Q4_K_M", 4096, "{{ messages }}"),
    )


def test_heads_may_differ_by_layer_and_keys_from_values(tmp_path: Path) -> None:
    keys = [
        text("general.architecture", "x"),
        key("x.context_length", U32, 10),
        key("x.attention.head_count", U32, 8),
        array("x.attention.head_count_kv", U32, [2, 0, 4]),
        key("x.attention.key_length", U32, 5),
        key("x.attention.value_length", U32, 7),
    ]
    (tmp_path / "m.gguf").write_bytes(gguf(*keys))
    assert read(tmp_path).memory_bytes == 10 * 6 * 12 * 2


def test_without_a_file_type_the_type_of_most_bytes_counts(tmp_path: Path) -> None:
    tensors = [tensor("a", F16, 0, 100), tensor("b", Q4_K, 224, 256)]
    (tmp_path / "m.gguf").write_bytes(gguf(tensors=tensors, data=224 + 144))
    found = read(tmp_path).language_model
    assert found is not None
    assert found.quantization == "F16"


def test_a_tensor_of_an_unknown_type_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf(tensors=[tensor("a", 99, 0, 4), tensor("b", F16, 0, 4)], data=32))
    found = read(tmp_path)
    assert found.parameters == 4
    assert "99" in found.warnings[0]


def test_the_parts_of_a_model_are_one(tmp_path: Path) -> None:
    for number in (1, 2):
        keys = LLAMA if number == 1 else ()
        part = gguf(*keys, tensors=[tensor(f"t{number}", F16, 0, 8)], data=32)
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(part)
    (tmp_path / "mmproj-m.gguf").write_bytes(gguf())
    found = read(tmp_path)
    assert found.parameters == 16
    assert found.language_model is not None
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(InvalidError, match=r"m-00002-of-00002\.gguf"):
        read(tmp_path)


def test_two_models_are_not_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.gguf").write_bytes(gguf())
    with pytest.raises(InvalidError, match=r"a\.gguf, b\.gguf"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gguf(version=1), "not 1; convert"),
        (b"GGUF\0\0\0\3" + bytes(16), "big-endian"),
        (b"GGML" + bytes(20), "must begin with GGUF"),
        (gguf(*LLAMA)[:100], "truncated"),
        (gguf(tensors=[tensor("a", F16, 0, 100)], data=10), "truncated: its tensors end at byte 264"),
        (gguf(key("a", 13, 1)), "'a' .*type 13"),
    ],
)
def test_errors_name_the_fault(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(InvalidError, match=f"m.gguf .*{said}"):
        read(tmp_path)
