"""Acknowledged writes that are lost over kills and power losses: `python bench/durability.py`.

The scenarios are those of tests/unit/store/test_durability.py. With synchronous=NORMAL the same losses lose writes.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).resolve().parents[1]))

from klever.store.sqlite import schema, writer
from tests.unit.store.test_durability import KILLS, POWER_LOSSES, lost_in, lost_to_power_losses, write_until_killed

CHECKPOINTED = 100
"""Pages of the log after which a checkpoint is waited for: often, to lose power in them too."""


async def kills(directory: Path) -> tuple[int, int]:
    """How many acknowledged writes were lost over all kills, and how many there were."""
    random = Random(1)
    acknowledged: set[str] = set()
    for number in range(KILLS):
        writes = random.randrange(1, 200)
        acknowledged |= await asyncio.to_thread(write_until_killed, directory / "kills.db", f"j-{number}", writes)
    return len(await lost_in(directory / "kills.db", acknowledged)), len(acknowledged)


async def measure(directory: Path) -> list[tuple[str, tuple[int, int], str]]:
    rows = [(f"{KILLS} kill -9", await kills(directory), "0")]
    writer.LIMIT_PAGES = CHECKPOINTED
    for synchronous, goal in (("FULL", "0"), ("NORMAL", "> 0: the test discriminates")):
        schema.SYNCHRONOUS = synchronous
        losses = await lost_to_power_losses(directory / f"{synchronous}.db", POWER_LOSSES)
        rows.append((f"{POWER_LOSSES} power losses, synchronous={synchronous}", losses, goal))
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        rows = asyncio.run(measure(Path(directory)))
    print("| acknowledged writes lost over | measured | goal |\n|---|---|---|")
    for name, (gone, total), goal in rows:
        print(f"| {name} | {gone} of {total} | {goal} |")


if __name__ == "__main__":
    main()
