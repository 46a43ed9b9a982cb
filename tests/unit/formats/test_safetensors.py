"""SafeTensors files, and the configuration beside them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats import Details, LanguageModel


def read(directory: Path) -> Details:
    return formats.get(formats.detect(directory)).read_signature(directory).details


def tensor(kind: str, start: int, end: int, *shape: int) -> dict[str, Any]:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}


def safetensors(header: object, data: int = 0) -> bytes:
    content = json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + bytes(data)


SMALL = {"__metadata__": {"format": "pt"}, "a": tensor("F16", 0, 24, 3, 4), "b": tensor("I64", 24, 32)}
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "transformers_version": "4.57.0",
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
}
CACHE = 64 * 2 * 3 * 2 * 8 * 2 + 512 * 100 * 4


def write(directory: Path, **files: object) -> None:
    for name, content in files.items():
        (directory / name.replace("__", ".")).write_text(json.dumps(content))


def test_a_file_alone(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(SMALL, 32))
    found = read(tmp_path)
    assert (found.format_version, found.parameters, found.parameter_bytes, found.memory_bytes) == ("pt", 13, 32, 32)
    assert found.language_model is None
    assert "config.json" in found.warnings[0]


def test_a_language_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(SMALL, 32))
    write(tmp_path, config__json=LLAMA, tokenizer_config__json={"chat_template": "{{ messages }}"})
    assert read(tmp_path) == Details(
        "pt", "transformers 4.57.0", 13, 32, 32 + CACHE, (), LanguageModel("llama", "F16", 64, "{{ messages }}")
    )


def test_a_model_of_images_and_text_and_named_templates(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(SMALL, 32))
    quantized = {"quant_method": "awq", "bits": 4}
    write(tmp_path, config__json={"model_type": "llava", "text_config": LLAMA, "quantization_config": quantized})
    templates = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    write(tmp_path, tokenizer_config__json={"chat_template": templates})
    assert read(tmp_path).language_model == LanguageModel("llava", "awq 4 bits", 64, "d")
    (tmp_path / "chat_template.jinja").write_text("file")
    assert read(tmp_path).language_model == LanguageModel("llava", "awq 4 bits", 64, "file")


def test_a_classifier_has_classes(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(SMALL, 32))
    labels = {"10": "j", "0": "cat", "1": "dog"}
    config = {"architectures": ["ViTForImageClassification"], "id2label": labels}
    write(tmp_path, config__json=config)
    assert read(tmp_path).classes == ("cat", "dog", "j")
    write(tmp_path, config__json={**config, "architectures": ["ViTModel"]})
    assert read(tmp_path).classes == ()


def test_shards_are_one_model(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"model-{number}.safetensors").write_bytes(safetensors(SMALL, 32))
    weights = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    assert read(tmp_path).parameters == 26
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(InvalidError, match=r"model-2\.safetensors.* missing"):
        read(tmp_path)


def test_a_shard_outside_the_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(SMALL, 32))
    index = {"weight_map": {"a": "../../secret.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidError) as refused:
        read(tmp_path)
    assert refused.value.reason == "UNSAFE_PATH"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no header"),
        (struct.pack("<Q", 100) + b"{}", "truncated"),
        (struct.pack("<Q", 1 << 62), "header"),
        (safetensors([]), "must be a JSON object"),
        (struct.pack("<Q", 4) + b"null", "must be a JSON object"),
        (struct.pack("<Q", 1) + b"{", "not valid JSON"),
        (safetensors({"w": tensor("F16", 0, 24, 3, 4)}, 23), "'w' .*truncated"),
        (safetensors({"w": tensor("F16", 0, 23, 3, 4)}, 23), "'w' has 12 elements of F16, but 23 bytes"),
        (safetensors({"w": tensor("Q9", 0, 24, 3, 4)}, 24), "'w' has the unknown type 'Q9'"),
        (safetensors({"w": tensor("F16", 0, 24, -3, -4)}, 24), "'w' has the invalid shape"),
        (safetensors({"w": {**tensor("F16", 0, 1), "data_offsets": [0]}}, 24), "'w' has the invalid data_offsets"),
        (safetensors({"w": {**tensor("F16", 0, 1), "dtype": {}}}, 24), "'w' has the unknown type"),
    ],
)
def test_errors_name_the_fault(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(InvalidError, match=rf"m\.safetensors .*{said}"):
        read(tmp_path)
