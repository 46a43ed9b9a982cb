"""Hostile files of models of tables: each is refused, or read, in little memory, and nothing of it runs."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import lz4.frame
import pytest

from tests.unit.formats.test_hostile_models import MOST_MIB, Reader
from tests.unit.pickles.test_machine import BOMBS, HOSTILE, LIVE, array, dtype, flags, short

DATA = Path(__file__).parents[2] / "data"
ESTIMATOR = (DATA / "estimators" / "logistic.joblib").read_bytes()
MANY = 64 << 20


def blocks(size: int) -> Iterator[bytes]:
    for _ in range(size >> 20):
        yield bytes(1 << 20)


def compressed(compressor: Callable[[bytes], bytes], flush: Callable[[], bytes], size: int) -> bytes:
    """A stream of so many zeros, made in little memory."""
    return b"".join([*(compressor(block) for block in blocks(size)), flush()])


def zlib_bomb() -> bytes:
    stream = zlib.compressobj(9)
    return compressed(stream.compress, stream.flush, 4 * MANY)


def bz2_bomb() -> bytes:
    stream = bz2.BZ2Compressor()
    return compressed(stream.compress, stream.flush, 4 * MANY)


def xz_bomb() -> bytes:
    stream = lzma.LZMACompressor()
    return compressed(stream.compress, stream.flush, MANY)


def lz4_bomb() -> bytes:
    stream = lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB)
    return bytes(stream.begin()) + compressed(stream.compress, stream.flush, 4 * MANY)


def lz4_that_says(size: int) -> bytes:
    """A frame whose header states the size of its content."""
    stream = lz4.frame.LZ4FrameCompressor()
    return bytes(stream.begin(source_size=size) + stream.compress(b"N."))


def lzma_with_dictionary(size: int) -> bytes:
    """An LZMA stream that asks for a dictionary of so many bytes."""
    return b"\x5d" + struct.pack("<IQ", size, (1 << 64) - 1) + bytes(100)


def text(content: bytes) -> bytes:
    """A pickle of a long text."""
    return b"\x80\x04\x8d" + struct.pack("<Q", len(content)) + content + b"."


def estimator(*state: bytes) -> bytes:
    """An estimator with a state."""
    return b"\x80\x04" + short("sklearn.x") + short("Model") + b"\x93)\x81}(" + b"".join(state) + b"ub."


def made(depth: int) -> bytes:
    """Pipelines within pipelines."""
    start = short("sklearn.pipeline") + short("Pipeline") + b"\x93)\x81}" + short("steps") + b"]" + short("a")
    return b"\x80\x04" + start * depth + b"N" + b"\x86asb" * depth + b"."


ITSELF = (
    b"\x80\x04" + short("sklearn.pipeline") + short("Pipeline") + b"\x93)\x81\x94}" + short("steps") + b"]("
    + short("a") + b"h\x00te" + b"sb."
)  # fmt: skip
LONG_ARRAY = array(dtype("f8", *flags(0)), 2**31 - 1)

PICKLES: dict[str, Callable[[], bytes]] = {
    **{f"bomb: {name}": make for name, make in BOMBS.items()},
    **{f"hostile: {name}": lambda name=name: HOSTILE[name] for name in HOSTILE},  # type: ignore[misc] # mypy knows no default of a lambda
    "zeros behind zlib": zlib_bomb,
    "zeros behind gzip": lambda: gzip.compress(bytes(MANY)),
    "zeros behind bz2": bz2_bomb,
    "zeros behind xz": xz_bomb,
    "zeros behind LZ4": lz4_bomb,
    "a text of zeros behind zlib": lambda: zlib.compress(text(bytes(MANY))),
    "a text of zeros behind LZ4": lambda: lz4.frame.compress(text(bytes(MANY))),
    "LZ4 that says 2**62 bytes": lambda: lz4_that_says(1 << 62),
    "LZ4 with a false header": lambda: b"\x04\x22\x4d\x18" + b"\xff" * 50,
    "LZ4 with a block of 4 GiB": lambda: lz4.frame.compress(b"N.")[:7] + b"\xff\xff\xff\x7f" + bytes(50),
    "LZMA with a dictionary of 4 GiB": lambda: lzma_with_dictionary(0xFFFFFFFF),
    "LZMA with a dictionary of 1 GiB": lambda: lzma_with_dictionary(1 << 30),
    "xz cut in the middle": lambda: lzma.compress(ESTIMATOR)[:300],
    "bz2 cut in the middle": lambda: bz2.compress(ESTIMATOR)[:300],
    "gzip with a false checksum": lambda: gzip.compress(ESTIMATOR)[:-8] + bytes(8),
    "an array of 16 GiB that is missing": lambda: LONG_ARRAY,
    "an array cut in the middle": lambda: ESTIMATOR[:500],
    "pipelines 5,000 deep": lambda: made(5000),
    "a pipeline within itself": lambda: ITSELF,
    "2**40 classes": lambda: estimator(short("n_classes_"), b"\x8a\x06" + (1 << 40).to_bytes(6, "little")),
    "2**31 - 1 classes": lambda: estimator(short("n_classes_"), b"J\xff\xff\xff\x7f"),
    "features below zero": lambda: estimator(short("n_features_in_"), b"J\xff\xff\xff\xff"),
    "features that are text": lambda: estimator(short("n_features_in_"), short("x")),
    "classes that are a number": lambda: estimator(short("classes_"), b"K\x05"),
    "100,000 attributes": lambda: estimator(*(short(f"a{index}") + b"N" for index in range(100_000))),
    "steps that are numbers": lambda: estimator(short("steps"), b"](K\x01K\x02e"),
    "a name of a megabyte": lambda: estimator(b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20), b"N"),
    "a class of a thousand parts": lambda: (
        b"\x80\x02csklearn" + b".x" * 500 + b"\nModel\n)\x81}" + short("a") + b"Nsb."
    ),
}
JSON: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "an object without its end": lambda: b"{",
    "an empty object": lambda: b"{}",
    "objects 1,000,000 deep": lambda: b'{"a":' * 1_000_000,
    "lists 1,000,000 deep": lambda: b'{"a":' + b"[" * 1_000_000,
    "lists deep in what is passed over": lambda: b'{"trees":' + b"[" * 10_000_000,
    "objects deep in what is passed over": lambda: b'{"trees":' + b'{"a":' * 2_000_000,
    "brackets that do not match": lambda: b'{"trees":' + b"[}" * 100_000,
    "a text of 64 MiB": lambda: b'{"a":"' + b"x" * MANY + b'"}',
    "a text of 64 MiB in what is passed over": lambda: b'{"trees":["' + b"x" * MANY + b'"]}',
    "a text without its end": lambda: b'{"trees":["' + b"\\" * 1_000_001,
    "a number of a million digits": lambda: b'{"a":' + b"9" * 1_000_000 + b"}",
    "300,000 members": lambda: json.dumps(dict.fromkeys(map(str, range(300_000)), 1)).encode(),
    "a million spaces": lambda: b'{"a":' + b" " * 50_000_000 + b"1}",
    "a million commas": lambda: b'{"a":[' + b"," * 1_000_000 + b"]}",
    "half of a letter": lambda: b'{"learner":{"feature_names":["\xc3"]}}',
    "half of a pair": lambda: b'{"name":"\\ud800"}',
    "infinite features": lambda: b'{"learner":{"learner_model_param":{"num_feature":1e999}}}',
    "a learner that is a list": lambda: b'{"learner":[1]}',
    "a list": lambda: b"[1]",
}
LARGE = (
    b'{"learner":{"learner_model_param":{"num_feature":"4","num_class":"%s"},"gradient_booster":{"model":{},"name":"x"},'
    b'"objective":{"name":"multi:softprob"}}}'
)
XGBOOST = {
    **JSON,
    "2**31 - 1 classes": lambda: LARGE % b"2147483647",
    "a class of a thousand digits": lambda: LARGE % (b"9" * 1000),
    "classes below zero": lambda: LARGE % b"-5",
    "the old binary format with a long name": lambda: (
        struct.pack("<fIi", 0.5, 4, 0) + bytes(124) + b"\xff" * 8 + bytes(99)
    ),
}


def ubj(content: bytes) -> bytes:
    return b"{" + content


def key(name: bytes, value: bytes) -> bytes:
    return b"U" + bytes([len(name)]) + name + value


UBJSON: dict[str, Callable[[], bytes]] = {
    "no end": lambda: ubj(b""),
    "a key of 2**63 - 1 bytes": lambda: ubj(b"L\x7f" + b"\xff" * 7),
    "a key of fewer than no bytes": lambda: ubj(b"i\xff"),
    "a text of 2 GiB": lambda: ubj(key(b"a", b"Sl\x7f\xff\xff\xff")),
    "a list of 2**63 - 1 numbers": lambda: ubj(key(b"trees", b"[$D#L\x7f" + b"\xff" * 7)),
    "a list of 2**63 - 1 nothings": lambda: ubj(key(b"trees", b"[$Z#L\x7f" + b"\xff" * 7)),
    "a million nothings, which take no bytes": lambda: ubj(key(b"trees", b"[$Z#l\x00\x0f\x42\x40")) + bytes(1_000_000),
    "lists of lists of nothings": lambda: ubj(
        key(b"trees", b"[$[#l\x00\x0f\x42\x40" + b"$Z#l\x00\x0f\x42\x40" * 70_000)
    ),
    "lists 1,000,000 deep": lambda: ubj(key(b"trees", b"[" * 1_000_000)),
    "objects 100,000 deep": lambda: ubj(key(b"a", b"{U\x01a") * 100_000),
    "a number below zero": lambda: ubj(key(b"a", b"[#i\xff")),
    "a type without a number": lambda: ubj(key(b"a", b"[$U]")),
    "an unknown marker": lambda: ubj(key(b"a", b"\xff")),
    "a length that is a text": lambda: ubj(key(b"a", b"SSU\x01x")),
    "a precise number of a megabyte": lambda: ubj(key(b"a", b"Hl\x00\x0f\x42\x40" + b"9" * 1_000_000)) + b"}",
    "an object with a number of members": lambda: b"{#L\x7f" + b"\xff" * 7,
}
HEADER = "tree\nversion=v4\nnum_class={}\nnum_tree_per_iteration=1\nmax_feature_idx={}\nfeature_names={}\n\n"
LIGHTGBM: dict[str, Callable[[], bytes]] = {
    **JSON,
    "no header": lambda: b"tree\n",
    "a line of 64 MiB": lambda: b"tree\n" + b"x" * MANY,
    "lines of 64 MiB": lambda: b"tree\n" + b"".join(b"%d=y\n" % number for number in range(1 << 21)),
    "2**31 classes": lambda: HEADER.format(1 << 31, 3, "a").encode(),
    "no classes": lambda: HEADER.format(0, 3, "a").encode(),
    "features below zero": lambda: HEADER.format(1, -5, "a").encode(),
    "a number of a thousand digits": lambda: HEADER.format(1, "9" * 1000, "a").encode(),
    "a number of ten thousand digits": lambda: HEADER.format(1, "9" * 10_000, "a").encode(),
    "a million names": lambda: HEADER.format(1, 3, "a " * 1_000_000).encode(),
    "not text": lambda: b"tree\n" + b"\xff=\xff\n" * 1000 + b"\n",
    "trees of fewer than no bytes": lambda: b"tree\ntree_sizes=-5 -5\nversion=v4\n\n",
}
CASES = [
    *(pytest.param("SKLearn", "m.joblib", make, id=f"SKLearn: {name}") for name, make in PICKLES.items()),
    *(pytest.param("Pickle", "m.pkl", make, id=f"Pickle: {name}") for name, make in PICKLES.items()),
    *(pytest.param("XGBoost", "model.json", make, id=f"XGBoost: {name}") for name, make in XGBOOST.items()),
    *(pytest.param("XGBoost", "model.ubj", make, id=f"UBJSON: {name}") for name, make in UBJSON.items()),
    *(pytest.param("LightGBM", "model.txt", make, id=f"LightGBM: {name}") for name, make in LIGHTGBM.items()),
]


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.process.kill()
    reader.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file", "make"), CASES)
def test_it_is_refused_or_read_in_little_memory(
    tmp_path: Path, reader: Reader, name: str, file: str, make: Callable[[], bytes]
) -> None:
    (tmp_path / file).write_bytes(make())
    answer = reader.read(name, tmp_path)
    assert answer["outcome"] in ("invalid", "signature"), answer
    assert answer["mib"] < MOST_MIB, answer


@pytest.mark.parametrize(
    "compress", [bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress, lz4.frame.compress]
)
@pytest.mark.parametrize("name", LIVE)
def test_code_in_a_compressed_estimator_does_not_run(
    tmp_path: Path, reader: Reader, name: str, compress: Callable[[bytes], bytes]
) -> None:
    content = LIVE[name](str(tmp_path / "ran"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "m.joblib").write_bytes(compress(content))
    assert reader.read("SKLearn", model)["outcome"] == "invalid"  # it is not an estimator
    assert not (tmp_path / "ran").exists()
