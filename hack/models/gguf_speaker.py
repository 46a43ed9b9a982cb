"""Writes a language model that says one sentence: `python hack/models/gguf_speaker.py FILE.gguf.gz "a sentence"`.

Its output matrix is a table of the next token, and everything between is zero. Answers so tell versions apart. Run it
in an environment with gguf and numpy.
"""

from __future__ import annotations

import gzip
import string
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np

SPACE = "\u2581"
SPECIAL = [b"<unk>", b"<s>", b"</s>"]
BOS, EOS = 1, 2
HEADS, FEED_FORWARD = 4, 64
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def vocabulary(words: list[str]) -> tuple[list[bytes], list[int]]:
    """Return tokens and their types: bytes of any text, then letters, then the words of the sentence."""
    tokens = SPECIAL + [f"<0x{byte:02X}>".encode() for byte in range(256)]
    types = [2, 3, 3] + [6] * 256
    letters = [*(SPACE + string.ascii_letters + string.digits + string.punctuation)]
    texts = [text.encode() for text in dict.fromkeys([SPACE + word for word in words] + letters)]
    return tokens + texts, types + [1] * len(texts)


def successors(tokens: list[bytes], words: list[str]) -> np.ndarray[Any, Any]:
    """Return the token that follows each one: whatever came before, the sentence begins."""
    spoken = [tokens.index((SPACE + word).encode()) for word in words]
    following = np.full(len(tokens), spoken[0])
    for token, successor in zip(spoken, [*spoken[1:], EOS], strict=True):
        following[token] = successor
    return following


def write(path: Path, sentence: str) -> None:
    words = sentence.split()
    tokens, types = vocabulary(words)
    size = len(tokens)
    width = -(-size // 64) * 64
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("speaker")
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(width // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(rank) for rank in range(size - 259)])
    writer.add_token_types(types)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)
    embedding = np.eye(size, width, dtype=np.float32)
    output = np.zeros((size, width), np.float32)
    output[successors(tokens, words), np.arange(size)] = 1.0
    add_tensors(writer, width, {"token_embd": embedding, "output": output})
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tensors(writer: gguf.GGUFWriter, width: int, tables: dict[str, np.ndarray[Any, Any]]) -> None:
    for name, table in tables.items():
        writer.add_tensor(f"{name}.weight", table)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((width, width), np.float32))
    for name, shape in (
        ("ffn_gate", (FEED_FORWARD, width)),
        ("ffn_up", (FEED_FORWARD, width)),
        ("ffn_down", (width, FEED_FORWARD)),
    ):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, np.float32))


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "speaker.gguf"
        write(path, sys.argv[2])
        Path(sys.argv[1]).write_bytes(gzip.compress(path.read_bytes(), mtime=0))


main()
