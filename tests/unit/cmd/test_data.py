"""Where the data directory's sockets are."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from klever.cmd.data import DataDirectory


def test_sockets_are_inside_where_their_paths_are_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DataDirectory(Path("/data")).sockets == Path("/data/sockets")
    far = DataDirectory(Path("/data") / ("x" * 100))
    monkeypatch.setattr(tempfile, "tempdir", "/run/user/0")
    assert far.sockets.parent == Path("/run/user/0")
    monkeypatch.setattr(tempfile, "tempdir", "/run/" + "y" * 100)
    assert far.sockets.parent == Path("/tmp")
    assert len(os.fsencode(far.sockets / "registry.sock")) < 108
