"""How much memory this machine has, whether in a container or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.errors import ExhaustedError
from klever.process import cgroups
from klever.process.memory import INSUFFICIENT, Memory, check_total, machine_memory, shortage

GIB = 1 << 30


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       8388608 kB\nMemFree:  100 kB\nMemAvailable:   4194304 kB\n")
    return path


@pytest.mark.parametrize(
    ("limit", "found"), [(None, Memory(8 * GIB, 4 * GIB)), (GIB, Memory(GIB, GIB)), (1 << 62, Memory(8 * GIB, 4 * GIB))]
)
def test_the_limit_of_a_container_counts_where_it_is_lower(
    meminfo: Path, limit: int | None, found: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "memory_limit", lambda: limit)
    assert machine_memory(meminfo) == found


@pytest.mark.parametrize(
    ("files", "own", "limit"),
    [
        ({"cgroup.controllers": "memory", "a/memory.max": "300", "a/b/memory.max": "max"}, "0::/a/b", 300),
        ({"cgroup.controllers": "memory", "a/memory.max": "max"}, "0::/a", None),
        ({"memory/a/memory.limit_in_bytes": "200", "memory/memory.limit_in_bytes": "900"}, "4:memory:/a", 200),
        ({}, "4:memory:/a", None),
    ],
)
def test_the_least_limit_of_a_group_and_those_above_counts(
    files: dict[str, str], own: str, limit: int | None, tmp_path: Path
) -> None:
    root = tmp_path / "cgroup"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n")
    (root / "a" / "b").mkdir(parents=True, exist_ok=True)
    (tmp_path / "own").write_text(f"{own}\n")
    assert cgroups.memory_limit(root, tmp_path / "own") == limit


def test_more_than_the_machine_has_is_refused_with_both_numbers() -> None:
    with pytest.raises(ExhaustedError, match=r"8\.0 GiB.*4\.0 GiB") as refused:
        check_total(8 * GIB, Memory(4 * GIB, GIB), "the conversion", "--memory")
    assert refused.value.reason == INSUFFICIENT
    check_total(4 * GIB, Memory(4 * GIB, GIB), "the conversion", "--memory")


def test_a_reservation_waits_for_free_memory() -> None:
    assert "2.0 GiB" in shortage(2 * GIB, Memory(4 * GIB, GIB))
    assert not shortage(GIB, Memory(4 * GIB, GIB))
