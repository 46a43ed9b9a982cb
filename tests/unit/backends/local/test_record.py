"""What is kept of a replica: it stays small, whatever its probe sends."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.backends import ServingKey
from klever.backends.local import record
from klever.backends.local.record import Addresses, Record, Slot, lay_out, read_record, wipe
from klever.formats import Trust
from klever.runtimes import Guard, Launch, Probe

PROBE = Probe("/v2/models/m/infer", "POST", b"{}", {"Inference-Header-Content-Length": "2"}, (b"ONNX",), zeros=1 << 40)
RECORD = Record(
    Slot(ServingKey("n", "m"), "r1", 0),
    "sha256:a",
    Addresses("127.0.0.1:1"),
    PROBE,
    "",
    Trust.DATA,
    Guard.TRITON,
)


def test_the_zeros_of_a_probe_are_not_written(tmp_path: Path) -> None:
    lay_out(tmp_path, Launch((), {}, PROBE, "127.0.0.1:1"), None, RECORD)
    assert read_record(tmp_path) == RECORD
    assert (tmp_path / "replica.json").stat().st_size < 4096


def test_a_record_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "replica.json").open("wb") as file:
        file.truncate(4 << 30)
    assert read_record(tmp_path) is None


def test_a_directory_in_the_way_of_shared_memory_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At level `landlock` payloads share /dev/shm, and the names of regions can be worked out."""
    monkeypatch.setattr(record, "_SHARED_MEMORY", tmp_path)
    (tmp_path / "klever-1-a").mkdir()
    (tmp_path / "klever-1-b").touch()
    (tmp_path / "other").touch()
    wipe(tmp_path / "replica", "klever-1-")
    assert {path.name for path in tmp_path.iterdir()} == {"klever-1-a", "other"}
