"""Archives come back as they went in; hostile ones are refused with the entry's name."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klever.artifacts import archive
from klever.errors import InvalidError
from klever.limits import DEFAULTS, Limits

NAMES = st.lists(
    st.lists(st.text("ab é.", min_size=1, max_size=120).filter(lambda x: x not in {".", ".."}), min_size=1, max_size=4)
    .map("/".join),
    min_size=1, max_size=5, unique=True,
)  # fmt: skip


def packed(directory: Path, names: list[str]) -> bytes:
    out = io.BytesIO()

    def write(block: bytes) -> None:
        out.write(block)

    archive.pack(directory, names, write)
    return out.getvalue()


def unpack(content: bytes, target: Path, limits: Limits = DEFAULTS) -> list[str]:
    target.mkdir(exist_ok=True)
    return archive.unpack(io.BytesIO(content).read, target, limits=limits)


def foreign(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@settings(max_examples=30, deadline=None)
@given(names=NAMES, content=st.binary(max_size=2000))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, names: list[str], content: bytes) -> None:
    source, target = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    kept = []
    for index, name in enumerate(names):
        path = source / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content * index)
        except OSError:
            continue  # one name is a prefix of another
        kept.append(name)
    assert unpack(packed(source, kept), target) == kept
    assert {name: (target / name).read_bytes() for name in kept} == {
        name: (source / name).read_bytes() for name in kept
    }


def test_equal_files_make_equal_archives_that_tarfile_reads(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(os.urandom(300_000))
    (tmp_path / "graph").write_bytes(b"node" * 1000)
    first = packed(tmp_path, ["weights", "graph"])
    os.utime(tmp_path / "graph", (1, 1))
    (tmp_path / "graph").chmod(0o600)
    assert packed(tmp_path, ["weights", "graph"]) == first
    assert len(first) < 1.02 * 304_000
    with tarfile.open(fileobj=io.BytesIO(first), mode="r:gz") as tar:
        assert [(x.name, x.size, x.mode, x.mtime) for x in tar] == [("weights", 300_000, 0o644, 0),
                                                                    ("graph", 4000, 0o644, 0)]  # fmt: skip


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_other_dialects_are_read(tmp_path: Path, form: int) -> None:
    long = "/".join(["d" * 60, "e" * 60, "f" * 60]) if form != tarfile.USTAR_FORMAT else "d/e"
    content = foreign(
        (entry("./", tarfile.DIRTYPE), b""), (entry("./model/", tarfile.DIRTYPE), b""),
        (entry(f"./model/{long}"), b"x"), (entry("model/empty"), b""), form=form,
    )  # fmt: skip
    assert unpack(content, tmp_path) == [f"model/{long}", "model/empty"]
    assert (tmp_path / "model" / long).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([entry("../evil")], r"'\.\./evil'"),
        ([entry("model/../../evil")], r"'model/\.\./\.\./evil'"),
        ([entry("/evil")], "'/evil' has an absolute name"),
        ([entry("link", tarfile.SYMTYPE, "/etc"), entry("link/evil")], "'link' must be a file"),
        ([entry("hard", tarfile.LNKTYPE, "/etc/passwd")], "'hard' must be a file"),
        ([entry("fifo", tarfile.FIFOTYPE)], "'fifo' must be a file"),
        ([entry("device", tarfile.CHRTYPE)], "'device' must be a file"),
        ([entry("sparse", tarfile.GNUTYPE_SPARSE)], "'sparse' must be a file"),
        ([entry("a"), entry("a")], "'a' occurs twice"),
        ([entry("a"), entry("a/b")], "has a file where a directory must be"),
        ([entry("n" * 300)], "too long"),
    ],
)
def test_unsafe_entries_are_refused_by_name(tmp_path: Path, members: list[tarfile.TarInfo], message: str) -> None:
    with pytest.raises(InvalidError, match=message) as caught:
        unpack(foreign(*((member, b"") for member in members)), tmp_path / "in")
    assert caught.value.reason == "ARCHIVE_UNSAFE"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_nothing_is_written_through_a_link_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "model").symlink_to(tmp_path / "out")
    with pytest.raises(InvalidError):
        unpack(foreign((entry("model/evil"), b"x")), tmp_path / "in")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(model_bytes=1 << 20), "model_bytes"),
        (Limits(archive_ratio=100), "archive_ratio"),
        (Limits(model_files=1, archive_ratio=10_000), "model_files"),
        (Limits(path_bytes=5, archive_ratio=10_000), "path_bytes"),
        (Limits(path_depth=1, archive_ratio=10_000), "path_depth"),
    ],
)
def test_bombs_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits, limit: str) -> None:
    monkeypatch.setattr(archive, "_RATIO_FROM", 1 << 20)
    bomb = foreign((entry("a"), bytes(4 << 20)), (entry("b/c/d/e"), b""))
    with pytest.raises(InvalidError, match=f"--limit {limit}=") as refused:
        unpack(bomb, tmp_path, limits)
    assert (refused.value.reason, refused.value.metadata) == ("LIMIT_EXCEEDED", {"limit": limit})


def test_an_extended_header_may_not_fill_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 8 << 30
    with pytest.raises(InvalidError, match="extended header of 8589934592 bytes"):
        unpack(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)), tmp_path)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    return content[:-6] + bytes([content[-6] ^ 1]) + content[-5:]  # in gzip's checksum


@pytest.mark.parametrize("damage", [_cut, _flip, lambda _: b"", lambda _: b"not gzip", gzip.compress])
def test_damage_is_found(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    content = foreign((entry("model/a"), os.urandom(5000)))
    with pytest.raises(InvalidError, match="archive"):
        unpack(damage(content), tmp_path)


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 5119), value=st.integers(0, 255), long=st.booleans())
def test_any_changed_byte_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, long: bool
) -> None:
    name = "model/" + ("x" * 130 if long else "x")
    plain = bytearray(gzip.decompress(foreign((entry(name), b"abc"), form=tarfile.PAX_FORMAT)))
    plain[position % len(plain)] = value
    target = tmp_path_factory.mktemp("out")
    try:
        unpack(gzip.compress(bytes(plain), 1), target)
    except InvalidError:
        return
