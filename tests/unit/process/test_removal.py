from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from klever.process import ProcessManager, ProcessSpec, ProcessState
from klever.process.removal import remove_tree

DEPTH = 3000
DEEP = f"import os\nfor _ in range({DEPTH}): os.mkdir('d'); os.chdir('d')"


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A directory that is deeper than Python's stack, with a name that is longer than a path may be."""
    (tmp_path / "tree").mkdir()
    handle = os.open(tmp_path / "tree", os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    return tmp_path / "tree"


def test_a_tree_of_any_depth_is_removed(deep: Path) -> None:
    remove_tree(deep)
    assert not deep.exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "tree" / "-rf\n").touch()
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()


def test_a_failed_removal_is_an_error() -> None:
    with pytest.raises(OSError, match="cannot be removed"):
        remove_tree(Path("/proc/self"))


async def test_a_process_that_leaves_a_deep_tree_is_removed(
    processes: ProcessManager, ended: Callable[[ProcessManager, str], Awaitable[ProcessState]]
) -> None:
    work = processes.directory("deep") / "work"
    await asyncio.to_thread(work.mkdir, parents=True)
    await processes.start(ProcessSpec("deep", (sys.executable, "-I", "-c", DEEP), cwd=work))
    assert (await ended(processes, "deep")).exit_code == 0
    await processes.remove("deep")
    assert not work.parent.exists()
