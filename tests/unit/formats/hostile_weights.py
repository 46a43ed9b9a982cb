"""Hostile SafeTensors and GGUF files."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.formats import gguf
from tests.unit.formats.hostile_files import Build, also, beside, sparse

__all__ = ["GGUF", "SAFE_TENSORS"]


def safetensors(header: object, data: int = 0) -> bytes:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + bytes(data)


def stored(**fields: object) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **fields}}


def with_beside(name: str, content: bytes) -> Callable[[Path], None]:
    """A good file of weights, and another file."""
    return beside("m.safetensors", safetensors(stored(), 4), name, content)


GOOD = with_beside("x", b"")

SAFE_TENSORS: dict[str, Build] = {
    "empty": b"",
    "a header of 2**64 - 1 bytes": b"\xff" * 100,
    "a header of 17 MiB": lambda _: safetensors(b" " * (17 << 20)),
    "JSON nested deep": lambda _: safetensors(b"[" * 10_000_000),
    "objects nested deep": lambda _: safetensors(b'{"a":' * 1_000_000),
    "a shape of three million": lambda _: safetensors(stored(shape=[1] * 3_000_000), 4),
    "three million numbers": lambda _: safetensors(b'{"a":[' + b"9," * 5_000_000 + b"9]}"),
    "a million texts": lambda _: safetensors(b"{" + b'"a":"b",' * 1_500_000 + b'"a":"b"}'),
    "a million tensors": lambda _: safetensors(
        {f"{n}": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]} for n in range(200_000)}, 1
    ),
    "a size of 2**63": safetensors(stored(shape=[1 << 63, 1 << 63])),
    "a size without end": safetensors(b'{"w":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,4]}}'),
    "offsets that are true": safetensors(stored(data_offsets=[True, True]), 4),
    "offsets that go back": safetensors(stored(data_offsets=[4, 0]), 4),
    "a type that is a list": safetensors(stored(dtype=["F32"]), 4),
    "a tensor within a tensor": safetensors({"a": stored(data_offsets=stored()["w"])}, 4),
    "metadata without end": lambda _: safetensors({"__metadata__": {"format": "x" * 1_000_000}}),
    "an index that is not JSON": with_beside("m.safetensors.index.json", b"{" * 100_000),
    "an index of a link": with_beside("m.safetensors.index.json", b'{"weight_map":{"a":"/etc/x.safetensors"}}'),
    "an index of 65 MiB": also(GOOD, lambda directory: sparse(directory / "m.safetensors.index.json", 65 << 20)),
    "a config nested deep": lambda _: with_beside("config.json", b"[" * 900_000),
    "a config of another type": with_beside(
        "config.json", b'{"vocab_size": [], "model_type": {}, "id2label": {"a": []}}'
    ),
    "a config of 2 MiB": lambda _: with_beside("config.json", b" " * (2 << 20)),
    "labels without end": with_beside(
        "config.json", b'{"architectures": "XClassification", "id2label": {"' + b"9" * 10_000 + b'": "a"}}'
    ),
    "a config that is a FIFO": also(GOOD, lambda directory: os.mkfifo(directory / "config.json")),
    "a tokenizer of 16 MiB": lambda _: with_beside("tokenizer_config.json", b'{"a":[' + b"9," * 8_000_000 + b"9]}"),
    "a template of a megabyte": lambda _: with_beside("chat_template.jinja", b"{{" * 500_000),
    "a link": lambda directory: (directory / "m.safetensors").symlink_to("/etc/passwd"),
}

GGUF: dict[str, Build] = {
    "empty": b"",
    "a magic alone": b"GGUF",
    "2**64 - 1 of everything": b"GGUF" + struct.pack("<I", 3) + b"\xff" * 16,
    "a million tensors in no file": b"GGUF" + struct.pack("<IQQ", 3, 1_000_000, 0),
    "keys that are cut off": b"GGUF" + struct.pack("<IQQ", 3, 0, 10_000) + bytes(1000),
    "a key of 2**63 bytes": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 63),
    "a key that is not UTF-8": gguf.gguf(gguf.text("a", "b").replace(b"a", b"\xff")),
    "a text that is not UTF-8": gguf.gguf(gguf.text("general.architecture", b"\xff\xfe")),
    "a text of 2**63 bytes": gguf.gguf(gguf.text("a", "b")[:-9] + struct.pack("<Q", 1 << 63)),
    "an architecture of a megabyte": lambda _: gguf.gguf(gguf.text("general.architecture", "x" * 1_000_000)),
    "a hundred megabytes of texts": lambda _: gguf.gguf(*[gguf.text(f"k{n}", "x" * 1_000_000) for n in range(100)]),
    "a template of 50 MB": lambda _: gguf.gguf(gguf.text("tokenizer.chat_template", "x" * 50_000_000)),
    "an array of arrays": gguf.gguf(gguf.array("a", 9, [9] * 1000)),
    "an array of 2**63": gguf.gguf(gguf.array("a", 4, [])[:-8] + struct.pack("<Q", 1 << 63)),
    "2**63 strings": gguf.gguf(gguf.strings("a", [])[:-8] + struct.pack("<Q", 1 << 63)),
    "nine million strings": lambda _: (
        gguf.gguf(gguf.strings("a", [])[:-8] + struct.pack("<Q", 9_000_000)) + bytes(72_000_000)
    ),
    "a rank of 2**32 - 1": gguf.gguf(tensors=[gguf.tensor("a", 0, 0)[:9] + b"\xff" * 4]),
    "sizes that overflow": gguf.gguf(tensors=[gguf.tensor("a", 0, 0, *[(1 << 64) - 1] * 8)]),
    "an offset of 2**64 - 1": gguf.gguf(tensors=[gguf.tensor("a", 0, (1 << 64) - 1, 1)]),
    "an alignment of zero": gguf.gguf(gguf.key("general.alignment", gguf.U32, 0)),
    "an alignment that is text": gguf.gguf(gguf.text("general.alignment", "x")),
    "heads without end": gguf.gguf(
        gguf.text("general.architecture", "x"),
        gguf.key("x.context_length", gguf.U32, (1 << 32) - 1),
        gguf.array("x.attention.head_count_kv", gguf.U32, [(1 << 32) - 1] * 4096),
        gguf.key("x.attention.key_length", gguf.U32, (1 << 32) - 1),
    ),
    "a context length that is text": gguf.gguf(
        gguf.text("general.architecture", "x"), gguf.text("x.context_length", "y")
    ),
    "a part of 99,999": beside("m-00001-of-99999.gguf", gguf.gguf(), "x", b""),
    "a link": lambda directory: (directory / "m.gguf").symlink_to("/etc/passwd"),
}
