"""Hostile models of Keras 3."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

from tests.unit.formats.hostile_files import Build

__all__ = ["KERAS_ARCHIVE"]

V3 = Path(__file__).parents[2] / "data" / "keras" / "v3"
GOOD = (V3 / "branches.keras").read_bytes()
CONFIG = zipfile.ZipFile(V3 / "branches.keras").read("config.json")
WEIGHTS = zipfile.ZipFile(V3 / "branches.keras").read("model.weights.h5")


def archive(config: bytes = CONFIG, weights: bytes = WEIGHTS, compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as written:
        written.writestr("config.json", config)
        written.writestr("model.weights.h5", weights)
    return content.getvalue()


def tree(used: int, child: int) -> bytes:
    """A B-tree of a group whose children are all one node."""
    node = b"TREE" + struct.pack("<BBHQQ", 0, 1, used, (1 << 64) - 1, (1 << 64) - 1)
    return node + struct.pack("<QQ", 0, child) * used


AT = WEIGHTS.index(b"TREE")
LOOP = WEIGHTS[:AT] + tree(32, AT) + WEIGHTS[AT + len(tree(32, AT)) :]
WIDE = WEIGHTS[:AT] + b"TREE" + struct.pack("<BBH", 0, 1, 65535) + WEIGHTS[AT + 8 :] + bytes(2 << 20)

DIRECTORY = GOOD.rindex(b"PK\x01\x02")
MOVED = GOOD[: DIRECTORY + 42] + struct.pack("<I", len(GOOD) - 10) + GOOD[DIRECTORY + 46 :]
"""The last entry of the directory gives another place."""

LAYERS = b'{"class_name":"Functional","config":{"layers":[' + b"[]," * 1_000_000 + b"[]]}}"
MATRIX = struct.pack("<BBBBIQ", 1, 2, 1, 0, 0, 8)
"""The dataspace of the first kernel, which has 8 rows."""

KERAS_ARCHIVE: dict[str, Build] = {
    "empty": b"",
    "not a zip": b"\xff" * 1000,
    "cut off": GOOD[:-30],
    "no directory": GOOD[:1000],
    "no configuration": archive(config=b""),
    "a configuration of 50 MB": lambda _: archive(config=b" " * 50_000_000, compression=zipfile.ZIP_DEFLATED),
    "a configuration nested deep": lambda _: archive(config=b"[" * 1_000_000),
    "a configuration of a list": archive(config=b"[1]"),
    "layers without end": lambda _: archive(config=LAYERS),
    "weights that are empty": archive(weights=b""),
    "weights that are not HDF5": archive(weights=b"\x89HDF" * 1000),
    "weights that are cut off": archive(weights=WEIGHTS[:3000]),
    "weights of a gigabyte": lambda _: archive(weights=bytes(200 << 20), compression=zipfile.ZIP_DEFLATED),
    "a group that holds itself": archive(weights=LOOP),
    "a group of 65,535": lambda _: archive(weights=WIDE),
    "a rank of 255": archive(weights=WEIGHTS.replace(MATRIX, b"\1\xff" + bytes(6) + b"\xff" * 8)),
    "weights whose header is elsewhere": MOVED,
}  # fmt: skip
