"""Where the data directory's sockets are."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from klever.cmd.data import DataDirectory
from klever.errors import FailedPreconditionError


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
