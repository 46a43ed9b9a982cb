"""Where the data directory's sockets are."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from klever.cmd.data import DataDirectory
from klever.disk import make_private
from klever.errors import FailedPreconditionError
from klever.store.sqlite.schema import connect, prepare


def test_sockets_are_inside_where_their_paths_are_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DataDirectory(Path("/data")).sockets == Path("/data/sockets")
    far = DataDirectory(Path("/data") / ("x" * 100))
    monkeypatch.setattr(tempfile, "tempdir", "/run/user/0")
    assert far.sockets.parent == Path("/run/user/0")
    monkeypatch.setattr(tempfile, "tempdir", "/run/" + "y" * 100)
    assert far.sockets.parent == Path("/tmp")
    assert len(os.fsencode(far.sockets / "registry.sock")) < 108


@pytest.mark.parametrize("name", ["my data", "a$b", "a;b", "größe"])
def test_a_path_that_no_model_could_be_served_from_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FailedPreconditionError, match="which Triton does not support; choose another --data"):
        DataDirectory(tmp_path / name).prepare()
    assert not (tmp_path / name).exists()


def test_a_link_in_place_of_the_sockets_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user can guess the name in /tmp, and made the platform create a directory anywhere."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data, target = DataDirectory(tmp_path / ("x" * 100)), tmp_path / "target"
    target.mkdir()
    data.sockets.symlink_to(target)
    with pytest.raises(FailedPreconditionError, match="belongs to another user"):
        data.prepare()
    assert list(target.iterdir()) == []


def test_other_users_read_nothing_in_a_directory_that_is_open_to_them(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    data.root.mkdir(mode=0o755)
    data.prepare()
    with closing(connect(data.root / "klever.db")) as connection:
        prepare(connection, data.root / "klever.db")
        assert {path.name: path.stat().st_mode & 0o077 for path in data.root.iterdir() if path != data.sockets} == {
            **dict.fromkeys(("klever.db", "klever.db-wal", "klever.db-shm"), 0),
            "registry": 0,
            "models": 0o011,
            "processes": 0o011,
        }


def test_a_database_that_was_open_to_others_becomes_private(tmp_path: Path) -> None:
    names = ("a.db", "a.db-wal", "a.db-shm")
    for name in names:
        (tmp_path / name).touch(mode=0o644)
    make_private(tmp_path / "a.db")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in names] == [0o600] * 3
