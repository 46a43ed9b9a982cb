"""Files that are replaced whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from klever.disk import disk_errors, replace_file, write_private
from klever.errors import ExhaustedError, KleverError, UnavailableError


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, ExhaustedError), (errno.EIO, UnavailableError)])
def test_an_error_of_the_disk_names_the_file(tmp_path: Path, number: int, error: type[KleverError]) -> None:
    with pytest.raises(error, match=str(tmp_path)), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        replace_file(tmp_path / "file", b"content", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_failed_check_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def refuse() -> None:
        raise UnavailableError("taken over")

    replace_file(tmp_path / "file", b"old")
    with pytest.raises(UnavailableError):
        replace_file(tmp_path / "file", b"new", check=refuse)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    replace_file(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_private_file_lies_in_a_private_directory(tmp_path: Path) -> None:
    write_private(tmp_path / "new" / "token", "secret")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "token").stat().st_mode & 0o777 == 0o600
