"""Hostile model files. The readers reject or read each of them in little memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from klever.errors import InvalidError
from klever.formats.onnx import external_data
from tests.unit.formats.hostile_caffe import CAFFE
from tests.unit.formats.hostile_files import Build, beside, build_model, sparse
from tests.unit.formats.hostile_keras_archive import KERAS_ARCHIVE
from tests.unit.formats.hostile_weights import GGUF, SAFE_TENSORS

DATA = Path(__file__).parents[2] / "data"
MOST_MIB = 300
"""The reader with what it imports takes 100."""

# Protobuf's wire format, written by hand


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def f(number: int, value: bytes | str | int) -> bytes:
    """Write one field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def nested(depth: int, wrap: Callable[[bytes], bytes], inner: bytes = b"") -> bytes:
    for _ in range(depth):
        inner = wrap(inner)
    return inner


# Parts of ONNX models, by the numbers of onnx.proto


def onnx(*graph: bytes, more: bytes = b"") -> bytes:
    return f(7, b"".join(graph)) + more


def node(operator: str | bytes = "Add", *attributes: bytes) -> bytes:
    return f(1, f(4, operator) + b"".join(f(5, attribute) for attribute in attributes))


def value(name: str | bytes, dims: bytes = b"") -> bytes:
    """A tensor of float32; `dims` are fields of its shape."""
    return f(1, name) + f(2, f(1, f(1, 1) + f(2, dims)))


def tensor(*entries: tuple[str, str | bytes], name: str = "w", location: int | None = 1) -> bytes:
    """A tensor with external data."""
    external = b"".join(f(13, f(1, key) + f(2, text)) for key, text in entries)
    return f(8, name) + external + (f(14, location) if location is not None else b"")


def external(location: str | bytes, **more: str) -> bytes:
    return onnx(node(), f(5, tensor(("location", location), *more.items())), f(12, value("y")))


def with_file(content: bytes, make: Callable[[Path], None]) -> Callable[[Path], None]:
    def build(directory: Path) -> None:
        (directory / "m.onnx").write_bytes(content)
        make(directory)

    return build


def sixteen(directory: Path) -> None:
    (directory / "w.bin").write_bytes(bytes(16))


OUTSIDE = tensor(("location", "../../etc/passwd"))
SUBGRAPH = nested(10_000, lambda inner: f(1, f(5, f(6, inner))), node())
TYPES = f(1, "x") + f(2, nested(10_000, lambda inner: f(4, f(1, inner))))

ONNX: dict[str, Build] = {
    "empty": b"",
    "a number without its end": b"\xff",
    "a number of 11 bytes": b"\x08" + b"\xff" * 10 + b"\x01",
    "a field of 2 GiB": b"\x3a" + varint(2 << 30) + b"x",
    "a field of 2**63 bytes": b"\x3a" + varint(1 << 63),
    "a field of 2**64 - 1 bytes": b"\x3a" + varint((1 << 64) - 1),
    "a group": onnx(node()) + b"\x3b" + f(1, "x") + b"\x3c",
    "groups within groups": lambda _: b"\x3b" * 1_000_000,
    "the end of a group": b"\x3c",
    "wire type 6": b"\x3e",
    "wire type 7": b"\x3f",
    "field number 0": b"\x02\x00",
    "a graph that is a number": f(7, 5),
    "a graph of 8 bytes": b"\x39" + bytes(8),
    "a fixed number without its end": b"\x39" + bytes(3),
    "a node that is a number": onnx(f(1, 5)),
    "an operator that is a number": onnx(f(1, f(4, 5))),
    "an attribute that is a number": onnx(f(1, f(5, 5))),
    "an initialiser that is a number": onnx(f(5, 5)),
    "an input that is a number": onnx(node(), f(11, 5)),
    "subgraphs 10,000 deep": onnx(SUBGRAPH),
    "types 10,000 deep": onnx(node(), f(11, TYPES)),
    "50,000 empty nodes": onnx(f(1, b"") * 50_000),
    "two million empty nodes": lambda _: onnx(f(1, b"") * 2_000_000),
    "50,000 empty graphs": f(7, b"") * 50_000,
    "50,000 empty initialisers": onnx(node(), f(5, b"") * 50_000),
    "50,000 empty functions": onnx(node(), more=f(25, b"") * 50_000),
    "50,000 empty inputs": onnx(node(), f(11, b"") * 50_000),
    "20,000 inputs": lambda _: onnx(node(), *[f(11, value(f"x{n}")) for n in range(20_000)]),
    "20,000 operators": lambda _: onnx(*[node(f"op{n}") for n in range(20_000)]),
    "a rank of a million": lambda _: onnx(node(), f(11, value("x", f(1, b"") * 1_000_000))),
    "sizes of 2**63 - 1": onnx(node(), f(11, value("x", f(1, f(1, (1 << 63) - 1)) * 4))),
    "negative sizes": onnx(node(), f(11, value("x", f(1, f(1, (1 << 64) - 7))))),
    "an unknown type": onnx(node(), f(11, f(1, "x") + f(2, f(1, f(1, 2_000_000_000))))),
    "an operator of 50 MB": lambda _: onnx(node("x" * 50_000_000)),
    "an input with a name of 50 MB": lambda _: onnx(node(), f(11, value("x" * 50_000_000))),
    "an operator that is not UTF-8": onnx(node(b"\xff\xfe")),
    "an input that is not UTF-8": onnx(node(), f(11, value(b"\xff\xfe")), f(12, value("y"))),
    "an initialiser that is not UTF-8": onnx(node(), f(5, f(8, b"\xff\xfe"))),
    "an operator with half a character": onnx(node(b"\xed\xa0\x80")),
    "an operator with NUL": onnx(node("a\0b"), f(12, value("y"))),
    "an input that stands there twice": onnx(node(), f(11, value("x")) * 2, f(12, value("y"))),
    "a zip": lambda _: zipped(),
    "a gzip'd model": gzip.compress(onnx(node())),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(4096),
    "a pickle": pickle.dumps({"a": [1] * 1000}),
    "text": b"this is not a model\n" * 1000,
    "zeros": lambda _: bytes(1 << 20),
    "ones": lambda _: b"\xff" * (1 << 20),
    "2 GiB of nothing": lambda directory: sparse(directory / "m.onnx", 2 << 30),
    "more than 2 GiB": lambda directory: sparse(directory / "m.onnx", (2 << 30) + 1),
    "2 GiB within one tensor": lambda directory: large(directory / "m.onnx"),
    "a FIFO": lambda directory: os.mkfifo(directory / "m.onnx"),
    "a directory": lambda directory: (directory / "m.onnx").mkdir(),
    "a socket": lambda directory: bound(directory / "m.onnx"),
    "a link to a file": lambda directory: (directory / "m.onnx").symlink_to("/etc/passwd"),
    "a link to a device": lambda directory: (directory / "m.onnx").symlink_to("/dev/zero"),
    "a link to nothing": lambda directory: (directory / "m.onnx").symlink_to("nothing"),
    "a link to itself": lambda directory: (directory / "m.onnx").symlink_to("m.onnx"),
}

EXTERNAL: dict[str, Build] = {
    "above the model": external("../../etc/passwd"),
    "beside the model": external("../ormbfile.yaml"),
    "absolute": external("/etc/passwd"),
    "by a detour": external("weights/../../../etc/passwd"),
    "with a backslash": external("..\\..\\etc\\passwd"),
    "with NUL": external("w.bin\0/../../etc/passwd"),
    "empty": external(""),
    "a dot": external("."),
    "not UTF-8": external(b"\xff\xfe"),
    "a name of 300 characters": external("w" * 300),
    "a path of 1,000,000 characters": lambda _: external("a/" * 500_000),
    "an address in memory": external("*/_ORT_MEM_ADDR_/*", offset="140737488355328", length="4096"),
    "a URL": external("file:///etc/passwd"),
    "missing": external("w.bin"),
    "without a location": onnx(node(), f(5, tensor()), f(12, value("y"))),
    "a location that is a number": onnx(node(), f(5, f(8, "w") + f(13, f(1, "location") + f(2, 5)))),
    "not flagged as external": onnx(node(), f(5, tensor(("location", "../x"), location=None)), f(12, value("y"))),
    "100,000 entries": lambda _: onnx(node(), f(5, tensor(*[("location", "w.bin")] * 100_000))),
    "a second location": with_file(
        onnx(node(), f(5, tensor(("location", "w.bin"), ("location", "../x"))), f(12, value("y"))), sixteen
    ),
    "a directory": with_file(external("w.bin"), lambda directory: (directory / "w.bin").mkdir()),
    "a FIFO": with_file(external("w.bin"), lambda directory: os.mkfifo(directory / "w.bin")),
    "a link": with_file(external("w.bin"), lambda directory: (directory / "w.bin").symlink_to("/etc/passwd")),
    "a link to a directory": with_file(external("d/passwd"), lambda directory: (directory / "d").symlink_to("/etc")),
    "through a file": with_file(external("w.bin/x"), sixteen),
    "an offset behind the end": with_file(external("w.bin", offset="17"), sixteen),
    "a length behind the end": with_file(external("w.bin", offset="8", length="9"), sixteen),
    "a negative offset": with_file(external("w.bin", offset="-1"), sixteen),
    "a negative length": with_file(external("w.bin", length="-1"), sixteen),
    "an offset that is not a number": with_file(external("w.bin", offset="x"), sixteen),
    "an offset beyond 64 bits": with_file(external("w.bin", offset="9" * 30), sixteen),
    "an offset without end": with_file(external("w.bin", offset="9" * 4000), sixteen),
    "an offset that wraps": with_file(external("w.bin", offset=str((1 << 63) - 1), length=str((1 << 63) - 1)), sixteen),
    "of a constant": onnx(node("Constant", f(5, OUTSIDE)), f(12, value("y"))),
    "of one of several constants": onnx(node("Constant", f(10, tensor(location=0)) + f(10, OUTSIDE))),
    "in a subgraph": onnx(node("If", f(6, f(5, OUTSIDE))), f(12, value("y"))),
    "in one of several subgraphs": onnx(node("If", f(11, b"") + f(11, f(5, OUTSIDE))), f(12, value("y"))),
    "in a function": onnx(node(), more=f(25, f(7, f(4, "Constant") + f(5, f(5, OUTSIDE))))),
    "in a default of a function": onnx(node(), more=f(25, f(11, f(5, OUTSIDE)))),
    "of sparse values": onnx(node(), f(15, f(1, OUTSIDE)), f(12, value("y"))),
    "of sparse indices": onnx(node(), f(15, f(2, OUTSIDE)), f(12, value("y"))),
    "of a sparse constant": onnx(node("Constant", f(22, f(1, OUTSIDE)))),
    "of one of several sparse constants": onnx(node("Constant", f(23, f(2, OUTSIDE)))),
    "in training": onnx(node(), more=f(20, f(1, f(5, OUTSIDE)))),
    "in a second graph": onnx(node(), f(12, value("y"))) + onnx(f(5, OUTSIDE)),
}


# Parts of SavedModels


def saved(*parts: bytes, tag: str | bytes = "serve") -> bytes:
    return f(2, f(1, f(4, tag)) + b"".join(parts))


def signature(*entries: bytes, name: str = "serving_default") -> bytes:
    return f(5, f(1, name) + f(2, b"".join(entries)))


def entry(name: str | bytes, dims: bytes = b"", side: int = 1) -> bytes:
    return f(side, f(1, name) + f(2, f(2, 1) + f(3, dims)))


def asset(name: str | bytes) -> bytes:
    return saved(signature(entry("x")), f(6, f(2, name)))


SAVED_MODEL: dict[str, Build] = {
    "empty": b"",
    "a number without its end": b"\xff",
    "a field of 2 GiB": b"\x12" + varint(2 << 30),
    "a group": b"\x13" * 100_000,
    "a graph that is a number": f(2, 5),
    "no tag": saved(signature(entry("x")), tag=""),
    "a tag that is not UTF-8": saved(signature(entry("x")), tag=b"\xff"),
    "50,000 tags": f(2, f(1, f(4, "x") * 50_000)),
    "50,000 graphs": f(2, b"") * 50_000,
    "no signature": saved(),
    "another signature": saved(signature(entry("x"), name="train")),
    "100,000 other signatures": lambda _: saved(signature(name="x") * 100_000),
    "a signature of 5 MiB": lambda _: saved(signature(entry("x" * (5 << 20)))),
    "a signature that is a number": saved(f(5, f(1, "serving_default") + f(2, 5))),
    "20,000 inputs": lambda _: saved(signature(*[entry(f"x{n}") for n in range(20_000)])),
    "a rank of a million": lambda _: saved(signature(entry("x", f(2, b"") * 1_000_000))),
    "sizes of 2**63 - 1": saved(signature(entry("x", f(2, f(1, (1 << 63) - 1)) * 4))),
    "negative sizes": saved(signature(entry("x", f(2, f(1, (1 << 64) - 7))))),
    "an input that is not UTF-8": saved(signature(entry(b"\xff"))),
    "an unknown type": saved(signature(f(1, f(1, "x") + f(2, f(2, 2_000_000_000))))),
    "50,000 nodes": saved(signature(entry("x")), f(2, f(1, b"") * 50_000)),
    "20,000 operators": lambda _: saved(
        signature(entry("x")), f(2, b"".join(f(1, f(2, f"op{n}")) for n in range(20_000)))
    ),
    "an operator that is not UTF-8": saved(signature(entry("x")), f(2, f(1, f(2, b"\xff")))),
    "50,000 functions": saved(signature(entry("x")), f(2, f(2, f(1, b"") * 50_000))),
    "an asset above the model": asset("../../../etc/passwd"),
    "an absolute asset": asset("/etc/passwd"),
    "a missing asset": asset("vocabulary.txt"),
    "a zip": b"PK\x03\x04" + bytes(1000),
    "a FIFO": lambda directory: os.mkfifo(directory / "saved_model.pb"),
    "a directory": lambda directory: (directory / "saved_model.pb").mkdir(),
    "a link": lambda directory: (directory / "saved_model.pb").symlink_to("/etc/passwd"),
}


# Parts of PMML documents


def pmml(*parts: str, head: str = "") -> bytes:
    return f'<?xml version="1.0"?>{head}<PMML version="4.4">{"".join(parts)}</PMML>'.encode()


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 20))
MODEL = '<TreeModel><MiningSchema><MiningField name="x"/></MiningSchema></TreeModel>'

PMML: dict[str, Build] = {
    "empty": b"",
    "no XML": b"\x00\x01\x02",
    "another root": b"<html/>",
    "no model": pmml("<Header/>"),
    "half of a document": pmml(MODEL)[:-20],
    "a billion laughs": pmml("&l19;", head=f'<!DOCTYPE PMML [<!ENTITY l0 "ha">{LAUGHS}]>'),
    "quadratic laughs": pmml("&a;" * 10_000, head=f'<!DOCTYPE PMML [<!ENTITY a "{"a" * 100_000}">]>'),
    "an entity in an attribute": pmml('<X a="&a;"/>', head=f'<!DOCTYPE PMML [<!ENTITY a "{"a" * 100_000}">]>'),
    "an external entity": pmml("&a;", head='<!DOCTYPE PMML [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    "a device for an entity": pmml("&a;", head='<!DOCTYPE PMML [<!ENTITY a SYSTEM "/dev/zero">]>'),
    "a parameter entity": pmml(MODEL, head='<!DOCTYPE PMML [<!ENTITY % a SYSTEM "http://127.0.0.1:1/x"> %a;]>'),
    "an external DTD": pmml(MODEL, head='<!DOCTYPE PMML SYSTEM "file:///etc/passwd">'),
    "a million levels": lambda _: b"<PMML>" + b"<a>" * 1_000_000,
    "a million levels within the model": lambda _: b"<PMML><TreeModel>" + b"<Node>" * 1_000_000,
    "a tag without end": lambda _: b"<PMML><a " + b"x" * 50_000_000,
    "a million attributes": lambda _: b"<PMML><a " + b" ".join(b'a%d=""' % n for n in range(1_000_000)) + b"/></PMML>",
    "a name of 50 MB": lambda _: b"<PMML><" + b"x" * 50_000_000 + b"/></PMML>",
    "a value of 50 MB": lambda _: pmml(f'<DataDictionary><DataField name="{"x" * 50_000_000}"/></DataDictionary>'),
    "a comment of 50 MB": lambda _: pmml(f"<!--{'x' * 50_000_000}-->{MODEL}"),
    "a text of 50 MB": lambda _: pmml(f"<TreeModel><Array>{'1 ' * 25_000_000}</Array></TreeModel>"),
    "200,000 nodes": lambda _: pmml(f"<TreeModel>{'<Node/>' * 200_000}</TreeModel>"),
    "70,000 fields": lambda _: pmml(f"<DataDictionary>{'<DataField/>' * 70_000}</DataDictionary>", MODEL),
    "70,000 values": lambda _: pmml(
        f'<DataDictionary><DataField name="x">{"<Value/>" * 70_000}</DataField></DataDictionary>', MODEL
    ),
    "70,000 models": lambda _: pmml("<TreeModel/>" * 70_000),
    "20,000 kinds of models": pmml(*[f"<M{n}/>" for n in range(20_000)]),
    "70,000 mining fields": lambda _: pmml(
        f"<TreeModel><MiningSchema>{'<MiningField/>' * 70_000}</MiningSchema></TreeModel>"
    ),
    "20,000 mining fields": lambda _: pmml(
        f"<TreeModel><MiningSchema>{'<MiningField/>' * 20_000}</MiningSchema></TreeModel>"
    ),
    "an unknown encoding": b'<?xml version="1.0" encoding="nonsense"?><PMML/>',
    "UTF-7": b'<?xml version="1.0" encoding="UTF-7"?>+ADw-PMML/+AD4-',
    "half of UTF-16": "<PMML/>".encode("utf-16")[:-1],
    "not UTF-8": b'<PMML><DataDictionary><DataField name="\xff\xfe"/></DataDictionary></PMML>',
    "NUL": b"<PMML>\0</PMML>",
    "a prefix without a namespace": b"<x:PMML/>",
    "an included file": pmml(
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd" parse="text"/>', MODEL
    ),
    "a style sheet": b'<?xml-stylesheet href="file:///etc/passwd"?>' + pmml(MODEL)[21:],
    "gzip'd": gzip.compress(pmml(MODEL)),
    "a FIFO": lambda directory: os.mkfifo(directory / "m.pmml"),
    "a directory": lambda directory: (directory / "m.pmml").mkdir(),
    "a link": lambda directory: (directory / "m.pmml").symlink_to("/etc/passwd"),
    "513 MiB": lambda directory: sparse(directory / "m.pmml", 513 << 20),
}


def large(path: Path) -> None:
    """A model with one tensor of almost 2 GiB, which is a hole."""
    size = (2 << 30) - 4096
    raw = varint(9 << 3 | 2) + varint(size)
    initialiser = varint(5 << 3 | 2) + varint(len(raw) + size) + raw
    rest = node() + f(12, value("y"))
    graph = varint(7 << 3 | 2) + varint(len(rest) + len(initialiser) + size)
    with path.open("wb") as file:
        file.write(graph + rest + initialiser)
        file.truncate(len(graph) + len(rest) + len(initialiser) + size)


def bound(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/{path.name}")  # a short name: the path may be too long for one
    os.close(here)


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.onnx", bytes(50_000_000))
    return content.getvalue()


def graph(*attributes: bytes) -> bytes:
    return f(1, f(1, "x") + f(2, "Placeholder") + b"".join(f(5, attribute) for attribute in attributes))


def huge_graph(directory: Path) -> None:
    sparse(directory / "m.graphdef", 4 << 30)


GRAPH_DEF: dict[str, Build] = {
    "empty": b"",
    "not protobuf": b"\xff" * 100,
    "a varint that does not end": b"\x08" + b"\xff" * 40,
    "a node that ends early": b"\x0a\x7f",
    "a name that is a number": f(1, f(1, 5)),
    "a name that is not UTF-8": f(1, f(1, b"\xff\xfe")),
    "a shape of many dimensions": lambda _: graph(f(1, "shape") + f(2, f(7, f(2, f(1, 1)) * 200_000))),
    "a shape nested in itself": lambda _: graph(f(1, "shape") + f(2, nested(10_000, lambda inner: f(7, inner)))),
    "many nodes": lambda _: graph() * 200_000,
    "many operators": lambda _: b"".join(f(1, f(2, f"op{i}")) for i in range(100_000)),
    "a long input list": lambda _: f(1, f(3, "x") * 200_000),
    "four gigabytes of nothing": huge_graph,
}


def nets(init: bytes, predict: bytes) -> Callable[[Path], None]:
    return beside("init_net.pb", init, "predict_net.pb", predict)


NET_DEF: dict[str, Build] = {
    "empty": nets(b"", b""),
    "not protobuf": nets(b"\xff" * 100, b"\xff" * 100),
    "an operator that ends early": nets(b"", b"\x12\x7f"),
    "a rank of a million": lambda _: nets(
        f(2, f(2, "x") + f(5, f(1, "shape") + f(6, bytes(1_000_000)))), f(2, f(4, "Add"))
    ),
    "many fills": lambda _: nets(f(2, f(2, "x") + f(4, "ConstantFill")) * 200_000, f(2, f(4, "Add"))),
    "many operators": lambda _: nets(b"", b"".join(f(2, f(4, f"op{i}")) for i in range(100_000))),
    "many inputs": lambda _: nets(b"", f(2, f(4, "Add")) + f(7, "x") * 200_000),
    "a name that is a number": nets(b"", f(7, 5)),
    "a dtype that is text": nets(f(2, f(2, "x") + f(5, f(1, "dtype") + f(3, "float"))), f(2, f(4, "Add"))),
    "arguments nested in themselves": lambda _: nets(
        f(2, nested(10_000, lambda inner: f(5, inner))), f(2, f(4, "Add"))
    ),
}

EMPTY_LIST = struct.pack("<QQQQ", 0x112, 0, 0, 0)


def symbol(text: str | bytes, params: bytes = EMPTY_LIST) -> Callable[[Path], None]:
    return beside("m-symbol.json", text.encode() if isinstance(text, str) else text, "m.params", params)


def variable(attributes: object) -> Callable[[Path], None]:
    node = {"op": "null", "name": "x", "inputs": [], "attrs": attributes}
    return symbol(json.dumps({"nodes": [node], "heads": []}))


def arrays(*parts: bytes, count: int = 1) -> Callable[[Path], None]:
    return symbol('{"nodes": [], "heads": []}', struct.pack("<QQQ", 0x112, 0, count) + b"".join(parts))


MXNET: dict[str, Build] = {
    "empty": symbol("", b""),
    "not JSON": symbol("{"),
    "JSON nested deep": lambda _: symbol("[" * 1_000_000),
    "a number of a million digits": lambda _: symbol("1" * 1_000_000),
    "nodes that are numbers": symbol('{"nodes": [1, 2], "heads": []}'),
    "no heads": symbol('{"nodes": []}'),
    "a head beyond the nodes": symbol('{"nodes": [], "heads": [[5, 0, 0]]}'),
    "a shape that is text": symbol(
        '{"nodes": [{"op": "null", "name": "x", "inputs": [], "attrs": {"__shape__": "a"}}], "heads": []}'
    ),
    "attributes that are a list": symbol(
        '{"nodes": [{"op": "null", "name": "x", "inputs": [], "attrs": [1]}], "heads": []}'
    ),
    "an operator that is a list": symbol('{"nodes": [{"op": [], "name": "x", "inputs": []}], "heads": []}'),
    "a magic of zero": arrays(count=0),
    "2**63 arrays": arrays(count=1 << 63),
    "a rank of 2**31": arrays(struct.pack("<Iii", 0xF993FAC9, 0, (1 << 31) - 1)),
    "a rank below zero": arrays(struct.pack("<Iii", 0xF993FAC9, 0, -5)),
    "a shape that overflows": arrays(struct.pack("<IiiqqIII", 0xF993FAC9, 0, 2, 1 << 62, 1 << 62, 1, 0, 0)),
    "a dimension below zero": arrays(struct.pack("<Iiiq", 0xF993FAC9, 0, 1, -8)),
    "a sparse array": arrays(struct.pack("<Ii", 0xF993FAC9, 1)),
    "an unknown type": arrays(struct.pack("<IiiqIII", 0xF993FAC9, 0, 1, 1, 1, 0, 99)),
    "names longer than the file": arrays(struct.pack("<QQ", 1, 1 << 62), count=0),
    "an array beyond the file": arrays(struct.pack("<IiiqIII", 0xF993FAC9, 0, 1, 1 << 30, 1, 0, 0)),
    "a symbol of 17 MiB": lambda _: symbol(b"[" + b" " * (17 << 20) + b"]"),
}


def torch_zip(*members: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


def net(code: str | bytes) -> bytes:
    body = code.encode() if isinstance(code, str) else code
    return torch_zip(("m/data.pkl", b"\x80\x02c__torch__\nNet\nq\x00."), ("m/code/__torch__.py", body))


WHOLE = net("class Net(Module):\n  def forward(self: Net, x: Tensor) -> Tensor:\n    return torch.abs(x)\n")
TORCHSCRIPT: dict[str, Build] = {
    "empty": b"",
    "not a zip": b"\xff" * 100,
    "a legacy tar": b"m/data.pkl".ljust(1024, b"\0"),
    "a pickle alone": pickle.dumps({"a": 1}),
    "cut off": WHOLE[:-30],
    "no directory": WHOLE[:200],
    "a directory of two gigabytes": WHOLE[:-10] + struct.pack("<II", 2 << 30, 0) + WHOLE[-2:],
    "a damaged member": WHOLE.replace(b"m/code", b"m/cede", 1),
    "code of a gigabyte": lambda _: net(bytes(200 << 20)),
    "a class that calls eval": torch_zip(("m/data.pkl", b"\x80\x02cbuiltins\neval\n."), ("m/code/__torch__.py", b"")),
    "no class": net("class Other(Module):\n"),
    "arguments that do not end": net("class Net(Module):\n  def forward(self: Net" + "(" * 100_000),
    "a million brackets": net("class Net(Module):\n  def forward(" + "[" * 500_000 + "]" * 500_000 + "):\n"),
    "a million quotes": net(
        "class Net(Module):\n  def forward(self: N) -> Dict[str, Tensor]:\n    return {" + '"' * 999_999
    ),
    "many operators": lambda _: net("\n".join(f"torch.op{chr(97 + i % 26)}{i}(" for i in range(100_000))),
    "many arguments": net("class Net(Module):\n  def forward(" + "x: Tensor, " * 100_000 + ") -> Tensor:\n"),
    "a name of a megabyte": net(
        "class Net(Module):\n  def forward(self: N, " + "x" * 1_000_000 + ": Tensor) -> Tensor:\n"
    ),
    "many members": lambda _: torch_zip(*((f"m/{i}", b"") for i in range(120_000))),
}

CONTAINER = gzip.decompress((DATA / "keras" / "nasnet_mobile.h5.gz").read_bytes())


def h5(config: object) -> Build:
    """Write a configuration into a file that Keras wrote, in place of the longer one that is there."""
    text = config if isinstance(config, str) else json.dumps(config)

    def content(_: Path) -> bytes:
        start = CONTAINER.index(b'{"class_name"')
        old = json.JSONDecoder().raw_decode(CONTAINER[start:].decode("latin1"))[1]
        assert len(text) <= old
        return CONTAINER[:start] + text.encode().ljust(old) + CONTAINER[start + old :]

    return content


def layer(kind: str, name: str, *sources: str, **config: object) -> dict[str, Any]:
    nodes = [[[source, 0, 0, {}]] for source in sources]
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


def model(*layers: object, end: str = "y") -> dict[str, Any]:
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [[end, 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "m", "layers": list(layers), **ends}}


def within(depth: int, calls: int) -> dict[str, Any]:
    """A model within a model, each called many times."""
    found = model(X, layer("ReLU", "y", "x"))
    for _ in range(depth):
        inner = {**found, "name": "y", "inbound_nodes": [[["x", 0, 0, {}]]] * calls}
        inner["config"] = {**found["config"], "name": "y"}
        found = model(X, inner)
    return found


def wrapped(depth: int) -> dict[str, Any]:
    found = layer("ReLU", "inner")
    for _ in range(depth):
        found = layer("Bidirectional", "y", "x", layer=found)
    return found


X = layer("InputLayer", "x", batch_input_shape=[None, 8, 8, 3])
UNITS = '{"class_name": "Sequential", "config": [{"class_name": "Dense", "config": {"name": "y", "units": %s, %s}}]}'
KERAS: dict[str, Build] = {
    "empty": b"",
    "not HDF5": b"\xff" * 100,
    "cut off": CONTAINER[:3000],
    "a superblock alone": CONTAINER[:96],
    "not JSON": h5("{"),
    "JSON nested deep": h5("[" * 50_000 + "]" * 50_000),
    "a list": h5([1, 2]),
    "no layers": h5(model()),
    "layers that are numbers": h5(model(1, 2)),
    "an output that is missing": h5(model(X, end="z")),
    "a layer that reads itself": h5(model(X, layer("Add", "y", "y", "x"))),
    "units below zero": h5(model(X, layer("Dense", "y", "x", units=-5))),
    "units of a thousand digits": h5(model(X, layer("Dense", "y", "x", units=10**1000))),
    "units that are infinite": h5(UNITS % ("Infinity", '"batch_input_shape": [null, 3]')),
    "a stride of zero": h5(model(X, layer("Conv2D", "y", "x", filters=1, kernel_size=[1, 1], strides=[0, 0]))),
    "a kernel of three sizes": h5(model(X, layer("Conv2D", "y", "x", filters=1, kernel_size=[1, 1, 1]))),
    "a concatenation along a text": h5(model(X, layer("Concatenate", "y", "x", axis="a"))),
    "a permutation beyond the rank": h5(model(X, layer("Permute", "y", "x", dims=[9]))),
    "a rank of 10,000": h5(model(layer("InputLayer", "x", batch_shape=[1] * 10_000), layer("ReLU", "y", "x"))),
    "a target of zeros": h5(model(X, layer("Reshape", "y", "x", target_shape=[0, -1]))),
    "a name that is a list": h5(model(X, {**layer("ReLU", "y", "x"), "config": {"name": []}})),
    "wrappers within wrappers": h5(model(X, wrapped(200))),
    "models within models": h5(within(4, 1000)),
    "eight thousand calls": h5(within(1, 8000)),
}

FILES = {
    "Keras": "m.keras",
    "CaffeModel": "m.prototxt",
    "SafeTensors": "m.safetensors",
    "GGUF": "m.gguf",
    "ONNX": "m.onnx",
    "SavedModel": "saved_model.pb",
    "PMML": "m.pmml",
    "GraphDef": "m.graphdef",
    "TorchScript": "m.pt",
    "H5": "m.h5",
}
TABLES = [
    ("ONNX", "ONNX", "", ONNX),
    ("external data", "ONNX", "invalid", EXTERNAL),
    ("SavedModel", "SavedModel", "", SAVED_MODEL),
    ("PMML", "PMML", "", PMML),
    ("GraphDef", "GraphDef", "", GRAPH_DEF),
    ("NetDef", "NetDef", "", NET_DEF),
    ("TorchScript", "TorchScript", "", TORCHSCRIPT),
    ("H5", "H5", "", KERAS),
    ("SafeTensors", "SafeTensors", "", SAFE_TENSORS),
    ("CaffeModel", "CaffeModel", "", CAFFE),
    ("Keras", "Keras", "", KERAS_ARCHIVE),
    ("GGUF", "GGUF", "", GGUF),
    ("MXNetParams", "MXNetParams", "", MXNET),
]
SLOW = {
    "GraphDef: many nodes",
    "ONNX: two million empty nodes",
    "SafeTensors: a million tensors",
    "TorchScript: many members",
}
"""More than a second of processor time each."""
CASES = [
    pytest.param(name, build, wanted, id=case, marks=[pytest.mark.slow] if case in SLOW else [])
    for table, name, wanted, builds in TABLES
    for case, build in ((f"{table}: {key}", build) for key, build in builds.items())
]


class Reader:
    """A process that reads models, and may use little."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.formats.reading"],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "error"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self, name: str, directory: Path) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name}\t{directory}\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.process.kill()
    reader.process.communicate()


@pytest.mark.parametrize(("name", "build", "wanted"), CASES)
def test_it_is_refused_or_read_in_little_memory(
    tmp_path: Path, reader: Reader, name: str, build: Build, wanted: str
) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    build_model(build, directory / FILES.get(name, ""))
    answer = reader.read(name, directory)
    assert answer["outcome"] in ({wanted} if wanted else {"invalid", "signature"}), answer
    assert answer["mib"] < MOST_MIB, answer


def test_external_data_inside_the_model_is_accepted(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(bytes(16))
    (tmp_path / "m.onnx").write_bytes(external("weights/w.bin", offset="8", length="8"))
    assert reader.read("ONNX", tmp_path)["outcome"] == "signature"


@pytest.mark.slow
def test_locations_are_collected_and_those_outside_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(external("weights/w.bin"))
    assert external_data(path) == ["weights/w.bin"]
    path.write_bytes(external("../w.bin"))
    with pytest.raises(InvalidError) as refused:
        external_data(path)
    assert refused.value.reason == "UNSAFE_PATH"
