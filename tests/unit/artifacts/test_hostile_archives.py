"""Hostile archives: each is refused, or unpacks to plain files below its directory, within its limits."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from klever.artifacts import archive
from klever.errors import InvalidError
from klever.limits import Limits

REFUSED = {"ARCHIVE_UNSAFE", "ARCHIVE_DAMAGED", "LIMIT_EXCEEDED"}
LIMITS = Limits(model_bytes=8 << 20, model_files=200)
END = bytes(1024)
RECORD = 512


def info(name: str = "model/x", **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def member(name: str = "model/x", content: bytes = b"x", **fields: object) -> bytes:
    header = info(name, size=len(content), **fields).tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return header + content + bytes(-len(content) % RECORD)


def raw(changes: dict[str, bytes], content: bytes = b"x") -> bytes:
    """A member whose header has other bytes at some places, and the checksum of these."""
    header = bytearray(member(content=content)[:RECORD])
    for place, value in changes.items():
        start, stop = PLACES[place]
        header[start:stop] = value.ljust(stop - start, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % RECORD)


PLACES = {"name": (0, 100), "size": (124, 136), "type": (156, 157), "magic": (257, 265), "prefix": (345, 500)}


def extended(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    """An extended header: pax (`x`, `g`) or GNU (`L`, `K`)."""
    header = info("././@extended", type=kind, size=len(content) if size is None else size)
    return header.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % RECORD)


def pax(**records: str) -> bytes:
    return b"".join(record(f"{name}={value}".encode("utf-8", "surrogateescape")) for name, value in records.items())


def record(text: bytes) -> bytes:
    for digits in range(1, 10):
        size = digits + 1 + len(text) + 1
        if len(str(size)) == digits:
            return b"%d %s\n" % (size, text)
    raise AssertionError(text)


def bomb(size: int) -> bytes:
    return member(content=bytes(size))


SMALL = member("model/small", b"small")

TARS: dict[str, bytes | Callable[[], bytes]] = {
    # Names
    "absolute": member("/etc/evil"),
    "absolute, twice": member("//etc/evil"),
    "parent": member("../evil"),
    "parent below": member("model/../../evil"),
    "parent at the end": member("model/.."),
    "parent of a directory": member("../evil/", b"", type=tarfile.DIRTYPE),
    "parent as the whole name": member(".."),
    "no name": raw({"name": b""}),
    "only a dot": member("."),
    "only slashes in a pax path": extended(b"x", pax(path="./")) + SMALL,
    "name of 300 characters": member("model/" + "n" * 300),
    "name of 5,000 characters": member("/".join(["model", *["d" * 200] * 25])),
    "65 directories": member("model/" + "d/" * 65 + "x"),
    "a directory of 65 directories": member("d/" * 66, b"", type=tarfile.DIRTYPE),
    "no UTF-8": raw({"name": b"model/\xff\xfe"}),
    "no UTF-8 in a pax path": extended(b"x", pax(path="model/\udcff")) + SMALL,
    "NUL in a pax path": extended(b"x", pax(path="model/a\0b")) + SMALL,
    "NUL and a parent in a GNU name": extended(b"L", b"model/a\0/../../evil") + SMALL,
    "parent in the prefix": raw({"name": b"evil", "magic": b"ustar\x0000", "prefix": b".."}),
    "absolute prefix": raw({"name": b"evil", "magic": b"ustar\x0000", "prefix": b"/etc"}),
    # Kinds
    "symbolic link": member("model/link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "symbolic link within": member("model/link", b"", type=tarfile.SYMTYPE, linkname="x"),
    "file through a symbolic link": member("model", b"", type=tarfile.SYMTYPE, linkname="/tmp") + member("model/evil"),
    "hard link": member("model/link", b"", type=tarfile.LNKTYPE, linkname="/etc/shadow"),
    "hard link within": SMALL + member("model/link", b"", type=tarfile.LNKTYPE, linkname="model/small"),
    "character device": member("model/null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": member("model/disk", b"", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
    "pipe": member("model/pipe", b"", type=tarfile.FIFOTYPE),
    "GNU sparse file": raw({"type": b"S"}),
    "pax sparse file, 0.1": extended(b"x", pax(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": "1"})) + SMALL,
    "pax sparse file, 1.0": extended(b"x", pax(**{"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999"})) + SMALL,
    "multi-volume": raw({"type": b"M"}),
    "volume label": raw({"type": b"V"}),
    "GNU directory dump": raw({"type": b"D"}),
    "Solaris extended header": raw({"type": b"X"}),
    "Solaris access list": raw({"type": b"A"}),
    "unknown kind": raw({"type": b"Z"}),
    "kind beyond ASCII": raw({"type": b"\xff"}),
    "GNU long link": extended(b"K", b"/etc/passwd\0") + SMALL,
    # Sizes
    "size beyond the archive": raw({"size": b"77777777777\0"}),
    "size of 2^63 in base 256": raw({"size": b"\x80" + struct.pack(">3xQ", 1 << 63)}),
    "size of 2^88 in base 256": raw({"size": b"\x80" + b"\xff" * 11}),
    "negative size": raw({"size": b"\xff" * 12}),
    "size that is no number": raw({"size": b"99999999999\0"}),
    "pax size beyond the archive": extended(b"x", pax(size="999999999999")) + SMALL,
    "pax size of 30 digits": extended(b"x", pax(size="9" * 30)) + SMALL,
    "negative pax size": extended(b"x", pax(size="-1")) + SMALL,
    "pax size that is no number": extended(b"x", pax(size="1e9")) + SMALL,
    "pax size in other digits": extended(b"x", pax(size="٣")) + SMALL,
    "more bytes than allowed": lambda: bomb(9 << 20),
    # Extended headers
    "pax header of 8 GiB": extended(b"x", b"", size=8 << 30),
    "global header of 8 GiB": extended(b"g", b"", size=8 << 30),
    "GNU name of 8 GiB": extended(b"L", b"", size=8 << 30),
    "pax header of 65 KiB": extended(b"x", pax(comment="c" * 66_000)) + SMALL,
    "pax header that is cut": extended(b"x", pax(path="model/x"), size=5000),
    "pax record of length 0": extended(b"x", b"0 path=a\n") + SMALL,
    "pax record of a negative length": extended(b"x", b"-9 path=a\n") + SMALL,
    "pax record beyond its header": extended(b"x", b"99 path=a\n") + SMALL,
    "pax record of 40 digits": extended(b"x", b"9" * 40 + b" path=a\n") + SMALL,
    "pax record without a length": extended(b"x", b"path=a\n") + SMALL,
    "20 pax headers in a row": extended(b"x", pax(comment="c")) * 20 + SMALL,
    "100,000 global headers": lambda: extended(b"g", pax(comment="c")) * 100_000 + SMALL,
    "1,000 GNU names": extended(b"L", b"model/x\0") * 1000 + SMALL,
    "pax header that leads out": extended(b"x", pax(path="../../evil")) + SMALL,
    "absolute pax path": extended(b"x", pax(path="/etc/evil")) + SMALL,
    "empty pax path": extended(b"x", pax(path="")) + SMALL,
    "GNU name that leads out": extended(b"L", b"../../evil\0") + SMALL,
    "GNU name after a pax path": extended(b"x", pax(path="model/x")) + extended(b"L", b"../evil\0") + SMALL,
    "pax path after a GNU name": extended(b"L", b"model/x\0") + extended(b"x", pax(path="../evil")) + SMALL,
    # Counts
    "201 files": b"".join(member(f"model/{number}") for number in range(201)),
    "201 directories": b"".join(member(f"model/{number}/", b"", type=tarfile.DIRTYPE) for number in range(201)),
    "201 times one directory": member("model/", b"", type=tarfile.DIRTYPE) * 201,
    "500 directories by ten names": b"".join(member(f"model/{number}/" + "d/" * 50 + "x") for number in range(10)),
    # Several entries
    "file twice": SMALL * 2,
    "file twice by another name": SMALL + member("./model//small"),
    "file twice, as a directory": SMALL + member("model/small/", b"", type=tarfile.DIRTYPE),
    "file below a file": SMALL + member("model/small/x"),
    "directory, then a file": member("model/a/", b"", type=tarfile.DIRTYPE) + member("model/a"),
    # Damage
    "wrong checksum": member()[:148] + b"000000\0 " + member()[156:],
    "checksum that is no number": member()[:148] + b"xxxxxxxx" + member()[156:],
    "random records": Random(1).randbytes(4096),
    "cut in a header": SMALL + member()[:300],
    "cut in a file": member(content=bytes(5000))[:2000],
}

HARMLESS: dict[str, tuple[bytes, list[str]]] = {
    "setuid and setgid": (member("model/x", mode=0o6777), ["model/x"]),
    "no rights at all": (member("model/x", mode=0), ["model/x"]),
    "directory without rights": (member("model/", b"", type=tarfile.DIRTYPE, mode=0) + SMALL, ["model/small"]),
    "another owner": (member("model/x", uid=4_000_000, gid=0, uname="root", gname="root"), ["model/x"]),
    "time in the future": (member("model/x", mtime=2**40), ["model/x"]),
    "same name in another case": (member("model/X") + member("model/x"), ["model/X", "model/x"]),
    "same name in another normal form": (member("model/é") + member("model/e\u0301"), ["model/é", "model/e\u0301"]),
    "right-to-left override": (member("model/\u202egnp.exe"), ["model/\u202egnp.exe"]),
    "newline and escape": (member("model/a\n\x1b[31m"), ["model/a\n\x1b[31m"]),
    "backslashes": (member("model\\..\\..\\evil"), ["model\\..\\..\\evil"]),
    "drive letter": (member("C:evil"), ["C:evil"]),
    "dots only": (member("model/..."), ["model/..."]),
    "link name on a file": (member("model/x", linkname="/etc/passwd"), ["model/x"]),
    "pax link path on a file": (extended(b"x", pax(linkpath="/etc/passwd")) + SMALL, ["model/small"]),
    "pax attributes": (extended(b"x", pax(**{"SCHILY.xattr.security.capability": "x"})) + SMALL, ["model/small"]),
    "global path": (extended(b"g", pax(path="../evil", size="9")) + SMALL, ["model/small"]),
    "directory that claims a size": (raw({"name": b"model/d/", "type": b"5", "size": b"00000000000\0"}, b"") + SMALL,
                                     ["model/small"]),
    "contiguous file": (raw({"type": b"7"}), ["model/x"]),
    "old kind": (raw({"type": b"\0"}), ["model/x"]),
    "extended header at the end": (SMALL + extended(b"x", pax(path="../evil")), ["model/small"]),
    "what follows the end": (SMALL + END + member("../evil") + Random(2).randbytes(3000), ["model/small"]),
    "an archive that follows the end": (SMALL + END + member("model/hidden") + END, ["model/small"]),
}  # fmt: skip


def cut(content: bytes) -> bytes:
    return content[:-20]


def changed(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x5A]) + content[place + 1 :]


GOOD = SMALL + END
STREAMS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no gzip": lambda: GOOD,
    "a tar that is cut before the padding": lambda: gzip.compress(SMALL[: RECORD + 5]),
    "a tar without its end": lambda: gzip.compress(SMALL),
    "an empty tar that is cut": lambda: gzip.compress(bytes(100)),
    "bzip2": lambda: bz2.compress(GOOD),
    "xz": lambda: lzma.compress(GOOD),
    "zstd": lambda: b"\x28\xb5\x2f\xfd" + bytes(100),
    "zlib": lambda: zlib.compress(GOOD),
    "gzip of gzip": lambda: gzip.compress(gzip.compress(GOOD)),
    "gzip that is cut": lambda: cut(gzip.compress(GOOD)),
    "only gzip's header": lambda: gzip.compress(GOOD)[:10],
    "wrong checksum of gzip": lambda: changed(gzip.compress(GOOD), -6),
    "wrong length of gzip": lambda: changed(gzip.compress(GOOD), -2),
    "unknown method of gzip": lambda: changed(gzip.compress(GOOD), 2),
    "damaged deflate": lambda: changed(gzip.compress(GOOD), 14),
    "rubbish after gzip": lambda: gzip.compress(GOOD) + b"rubbish",
    "a damaged member after a good one": lambda: gzip.compress(GOOD) + cut(gzip.compress(b"more")),
    "a bomb of one member": lambda: gzip.compress(bytes(64 << 20)),
    "a bomb after the end": lambda: gzip.compress(GOOD) + gzip.compress(bytes(64 << 20)),
    "a bomb in a file": lambda: gzip.compress(bomb(64 << 20)),
    "a bomb of many members": lambda: gzip.compress(bomb(64 << 20)[:512]) + gzip.compress(bytes(1 << 20)) * 64,
    "100,000 empty members": lambda: gzip.compress(b"") * 100_000 + gzip.compress(GOOD),
    "100,000 empty members after the end": lambda: gzip.compress(GOOD) + gzip.compress(b"") * 100_000,
    "a member for each byte": lambda: b"".join(gzip.compress(bytes([byte])) for byte in GOOD),
}


def unpack(content: bytes, tmp_path: Path) -> list[str]:
    target = tmp_path / "target"
    target.mkdir()
    return archive.unpack(io.BytesIO(content).read, target, limits=LIMITS)


@pytest.fixture(autouse=True)
def nothing_escapes(tmp_path: Path) -> Iterator[None]:
    """Whatever an archive is, it makes plain files and directories, below its target."""
    yield
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    size = 0
    for path in (tmp_path / "target").rglob("*"):
        status = path.lstat()
        assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        assert status.st_mode & 0o7000 == 0
        assert status.st_nlink == 1 or stat.S_ISDIR(status.st_mode)
        assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid())
        size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    assert size <= LIMITS.model_bytes
    assert not list(Path("/etc").glob("evil*")) + list(Path("/tmp").glob("evil*"))


@pytest.mark.parametrize("name", TARS)
def test_a_hostile_tar_is_refused(tmp_path: Path, name: str) -> None:
    made = TARS[name]
    content = made if isinstance(made, bytes) else made()
    with pytest.raises(InvalidError) as refused:
        unpack(gzip.compress(content + END, 1), tmp_path)
    assert refused.value.reason in REFUSED


@pytest.mark.parametrize("name", HARMLESS)
def test_odd_but_harmless_archives_unpack(tmp_path: Path, name: str) -> None:
    content, names = HARMLESS[name]
    assert unpack(gzip.compress(content + END), tmp_path) == names
    files = sorted(str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*"))
    assert [file for file in files if (tmp_path / "target" / file).is_file()] == sorted(names)
    for file in names:
        assert (tmp_path / "target" / file).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", STREAMS)
def test_a_hostile_stream_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        unpack(STREAMS[name](), tmp_path)
    assert refused.value.reason in REFUSED


def test_members_of_a_usual_size_are_read(tmp_path: Path) -> None:
    """As bgzip and parallel compressors write them."""
    content = member(content=Random(3).randbytes(4 << 20)) + END
    parts = b"".join(gzip.compress(content[start : start + 16_384], 0) for start in range(0, len(content), 16_384))
    assert unpack(parts, tmp_path) == ["model/x"]
