"""The memory of conversions of directories. Those that need much run one at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from klever.cmd import conversion
from klever.errors import ExhaustedError, FailedPreconditionError
from klever.process.memory import INSUFFICIENT, Memory

H5 = Path(__file__).parents[2] / "data" / "h5"
TORCHSCRIPT = H5.parent / "torchscript"
GIB = 1 << 30


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(conversion, "default_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize("memory", [0, 3 * GIB], ids=["the formats' need", "--memory"])
def test_a_machine_with_less_memory_refuses_before_anything_is_installed(
    memory: int, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "machine_memory", lambda: Memory(2 * GIB, 2 * GIB))
    with pytest.raises(ExhaustedError, match=r"2\.0 GiB.*--memory") as refused:
        conversion.convert_directory(H5, "ONNX", tmp_path / "out", {}, memory)
    assert refused.value.reason == INSUFFICIENT
    assert not (tmp_path / "out").exists()
    assert not cache.exists()


def test_code_is_converted_only_if_that_is_allowed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FailedPreconditionError, match="--allow-code") as refused:
        conversion.convert_directory(TORCHSCRIPT, "ONNX", tmp_path / "out", {})
    assert refused.value.reason == "CODE_NOT_ALLOWED"
    assert not cache.exists()
    monkeypatch.setattr(conversion, "machine_memory", lambda: Memory(GIB, GIB))
    with pytest.raises(ExhaustedError):  # it gets as far as the memory that it needs
        conversion.convert_directory(TORCHSCRIPT, "ONNX", tmp_path / "out", {}, 2 * GIB + 1, allow_code=True)


@pytest.fixture
def other(cache: Path) -> Iterator[IO[str]]:
    """The lock, which another conversion holds."""
    cache.mkdir()
    with (cache / "conversion.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


async def test_one_that_needs_much_waits_for_another_and_for_free_memory(
    other: IO[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    free = [GIB]
    monkeypatch.setattr(conversion, "_POLL_S", 0.01)
    monkeypatch.setattr(conversion, "machine_memory", lambda: Memory(8 * GIB, free[0]))

    def say(line: str) -> None:
        """Let the conversion go on once it has said why it waits."""
        lines.append(line)
        if "another conversion" in line:
            fcntl.flock(other, fcntl.LOCK_UN)
        else:
            free[0] = 8 * GIB

    monkeypatch.setattr(conversion, "_say", say)
    async with conversion.admitted(4 * GIB):
        assert [line.partition(":")[0] for line in lines] == [
            "waiting for another conversion that needs much memory",
            "waiting for memory",
        ]


async def test_one_that_needs_little_does_not_wait(other: IO[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "machine_memory", lambda: Memory(GIB, 0))
    async with conversion.admitted(GIB):
        assert not other.closed
