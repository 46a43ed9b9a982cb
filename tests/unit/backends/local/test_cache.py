"""Unpacked models: shared, bounded, and never taken from under a replica."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from klever.backends.local.cache import ModelCache
from klever.errors import ExhaustedError, UnavailableError

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
BLOCK = 64 << 10


class Registry:
    """Gives models of one file of 64 KiB, and counts."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, reference: str, content: str, into: Path) -> None:
        self.fetched.append(content)
        self.go.wait(10)
        (into / "model").mkdir()
        (into / "model" / "model.onnx").write_bytes(os.urandom(BLOCK))
        if reference == "torn":
            raise UnavailableError("the registry went away")


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def cache(root: Path, registry: Registry, models: float = 2.5) -> ModelCache:
    """A cache with room for so many models."""
    cache = ModelCache(root, registry, max_bytes=int(models * BLOCK))
    await cache.start()
    return cache


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_concurrent_callers_share_one_read_only_copy(tmp_path: Path, registry: Registry) -> None:
    models = await cache(tmp_path, registry)
    first, *others = await asyncio.gather(*(models.path("m", A) for _ in range(5)))
    assert others == [first] * 4
    assert registry.fetched == [A]
    assert [oct(path.stat().st_mode & 0o777) for path in first.iterdir()] == ["0o444"]


async def test_a_caller_that_gives_up_leaves_the_fetch_to_the_others(tmp_path: Path, registry: Registry) -> None:
    models = await cache(tmp_path, registry)
    registry.go.clear()
    impatient, patient = (asyncio.create_task(models.path("m", A)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    registry.go.set()
    assert (await patient / "model.onnx").exists()
    assert registry.fetched == [A]


async def test_the_least_recently_used_goes_first(tmp_path: Path, registry: Registry) -> None:
    models = await cache(tmp_path, registry)
    a, b = await models.path("m", A), await models.path("m", B)
    await models.path("m", A)
    c = await models.path("m", C)
    assert [path.exists() for path in (a, b, c)] == [True, False, True]


async def test_a_full_cache_keeps_models_in_use(tmp_path: Path, registry: Registry) -> None:
    models = await cache(tmp_path, registry, models=1.5)
    with models.hold(A):
        a = await models.path("m", A)
        with models.hold(B), pytest.raises(ExhaustedError, match="the model cache is full: big"):
            await models.path("big", B)
        assert a.exists()
        assert names(tmp_path) == [f"sha256-{'a' * 64}"]
    with models.hold(B):
        assert (await models.path("big", B)).exists()
    assert not a.exists()


async def test_a_later_process_finds_what_is_there(tmp_path: Path, registry: Registry) -> None:
    before = await (await cache(tmp_path, registry)).path("m", A)
    (tmp_path / ".partial-rest").mkdir()
    assert await (await cache(tmp_path, registry)).path("m", A) == before
    assert registry.fetched == [A]
    assert names(tmp_path) == [before.parent.name]


async def test_a_torn_fetch_leaves_nothing_and_is_tried_again(tmp_path: Path, registry: Registry) -> None:
    models = await cache(tmp_path, registry)
    with pytest.raises(UnavailableError, match="went away"):
        await models.path("torn", A)
    assert names(tmp_path) == []
    assert (await models.path("m", A)).exists()


async def test_slow_pulls_leave_the_threads_to_others(tmp_path: Path, registry: Registry) -> None:
    registry.go.clear()
    begun, loop = asyncio.Event(), asyncio.get_running_loop()

    def fetch(reference: str, content: str, into: Path) -> None:
        loop.call_soon_threadsafe(begun.set)
        registry(reference, content, into)

    models = ModelCache(tmp_path / "models", fetch, max_bytes=100 * BLOCK)
    await models.start()
    pulls = [asyncio.create_task(models.path("m", f"sha256:{number:064x}")) for number in range(50)]
    async with asyncio.timeout(5):
        await begun.wait()
        await asyncio.to_thread(os.getpid)
    registry.go.set()
    await asyncio.gather(*pulls)
    await models.close()


def remove_all(root: Path) -> None:
    shutil.rmtree(root)


def remove_files(root: Path) -> None:
    for model in root.glob("*/model"):
        shutil.rmtree(model)


def leave_a_rest(root: Path) -> None:
    for model in root.glob("*/model"):
        model.rename(model.with_name("rest"))


@pytest.mark.parametrize("remove", [remove_all, remove_files, leave_a_rest])
async def test_a_model_that_somebody_removed_is_fetched_again(
    tmp_path: Path, registry: Registry, remove: Callable[[Path], None]
) -> None:
    models = await cache(tmp_path / "data/models", registry)
    await models.path("m", A)
    remove(tmp_path / "data/models")
    paths = await asyncio.gather(*(models.path("m", A) for _ in range(3)), models.path("m", B))
    assert all((path / "model.onnx").exists() for path in paths)
    assert sorted(registry.fetched) == [A, A, B]


async def test_the_whole_data_directory_may_come_back(tmp_path: Path, registry: Registry) -> None:
    models = await cache(tmp_path / "data/models", registry, models=1.5)
    await models.path("m", A)
    shutil.rmtree(tmp_path / "data")
    assert (await models.path("m", B) / "model.onnx").exists()
    assert (await models.path("m", A) / "model.onnx").exists()


async def test_an_error_of_the_disk_names_the_path(tmp_path: Path, registry: Registry) -> None:
    models = await cache(tmp_path / "data/models", registry)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(UnavailableError, match=str(tmp_path / "data")):
        await models.path("m", A)
