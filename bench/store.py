"""The embedded store against bare appends: `python bench/store.py [--directory DIR]`.

Prints a row per figure with its goal. Rates are of durable, acknowledged writes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from klever.api.kinds import MODEL_JOB, NAMESPACE
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission

SECONDS = 1.0
ROUNDS = 7


def appends(directory: Path) -> float:
    """Appends of 4 KiB with fdatasync, a second."""
    block, count = b"x" * 4096, 0
    descriptor = os.open(directory / "appends", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    started = time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        os.write(descriptor, block)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count / SECONDS


def job(name: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "n", "name": name, "annotations": {"note": "x" * 700}},
        "spec": {"model": "team/model:v1", "extraction": {"format": "ONNX"}},
    }


async def creates(store: SqliteStore, writers: int, prefix: str) -> float:
    deadline = time.perf_counter() + SECONDS
    counts = [0] * writers

    async def write(writer: int) -> None:
        while time.perf_counter() < deadline:
            await store.create(MODEL_JOB, job(f"{prefix}-{writer}-{counts[writer]}"))
            counts[writer] += 1

    await asyncio.gather(*(write(w) for w in range(writers)))
    return sum(counts) / SECONDS


async def list_milliseconds(store: SqliteStore) -> tuple[float, float]:
    """Median times of a list, and of one whose every object is looked at."""
    listed, read = [], []
    for _ in range(7):
        started = time.perf_counter()
        page = await store.list(MODEL_JOB)
        listed.append(time.perf_counter() - started)
        assert sum("spec" in obj for obj in page.items) == 10_000
        read.append(time.perf_counter() - started)
    return median(listed) * 1000, median(read) * 1000


async def rates(directory: Path) -> list[tuple[str, str, str]]:
    """Rounds of each in turn, as the disk and its neighbours drift; medians of the ratios."""
    store = await SqliteStore.open(directory / "rates.db", SchemaAdmission())
    await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    rounds = [
        (appends(directory), await creates(store, 1, f"one{n}"), await creates(store, 16, f"many{n}"))
        for n in range(ROUNDS)
    ]
    await store.close()
    bare, one, sixteen = (median(column) for column in zip(*rounds, strict=True))
    share = median(o / b for b, o, _ in rounds)
    gain = median(s / o for _, o, s in rounds)
    return [
        ("fdatasync'd 4 KiB appends/s", f"{bare:.0f}", ""),
        ("creates/s, 1 writer", f"{one:.0f} ({share:.2f} of appends)", ">= 0.45"),
        ("creates/s, 16 writers", f"{sixteen:.0f} ({gain:.1f} x)", ">= 4 x"),
    ]


async def measure(directory: Path) -> list[tuple[str, str, str]]:
    rows = await rates(directory)
    store = await SqliteStore.open(directory / "many.db", SchemaAdmission())
    await store.create(NAMESPACE, {"metadata": {"name": "n"}})
    for start in range(0, 10_000, 500):
        await asyncio.gather(*(store.create(MODEL_JOB, job(f"j-{i:05}")) for i in range(start, start + 500)))
    listed, read = await list_milliseconds(store)
    await store.close()
    started = time.perf_counter()
    store = await SqliteStore.open(directory / "many.db", SchemaAdmission())
    restart = time.perf_counter() - started
    await store.close()
    return [
        *rows,
        ("list of 10,000", f"{listed:.1f} ms ({read:.0f} ms with each object decoded)", "< 40 ms"),
        ("restart with 10,000", f"{restart:.2f} s", "< 0.5 s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="a directory on the disk to measure")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        print("| figure | measured | goal |\n|---|---|---|")
        for row in asyncio.run(measure(Path(directory))):
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
