"""Writes GGUF files (ggml/docs/gguf.md)."""

from __future__ import annotations

import struct

__all__ = ["F16", "Q4_K", "U32", "array", "gguf", "key", "strings", "tensor", "text"]

F16, Q4_K = 1, 12
U32, _STRING, _ARRAY = 4, 8, 9


def _string(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(content)) + content


def key(name: str | bytes, kind: int, value: int) -> bytes:
    """A number of 32 bits."""
    return _string(name) + struct.pack("<II", kind, value)


def text(name: str, value: str | bytes) -> bytes:
    return _string(name) + struct.pack("<I", _STRING) + _string(value)


def array(name: str, kind: int, values: list[int]) -> bytes:
    head = struct.pack("<IIQ", _ARRAY, kind, len(values))
    return _string(name) + head + struct.pack(f"<{len(values)}I", *values)


def strings(name: str, values: list[str]) -> bytes:
    head = struct.pack("<IIQ", _ARRAY, _STRING, len(values))
    return _string(name) + head + b"".join(map(_string, values))


def tensor(name: str, kind: int, offset: int, *dims: int) -> bytes:
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return _string(name) + shape + struct.pack("<IQ", kind, offset)


def gguf(*keys: bytes, tensors: list[bytes] | None = None, data: int = 0, version: int = 3) -> bytes:
    """A file with `data` bytes of weights behind its header."""
    listed = tensors or []
    header = b"GGUF" + struct.pack("<IQQ", version, len(listed), len(keys)) + b"".join([*keys, *listed])
    return header + bytes(-len(header) % 32) + bytes(data)
