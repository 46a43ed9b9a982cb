"""Generated requests to a Triton behind the gateway: `python bench/fuzz.py [COUNT] [FIRST_SEED]`.

Says how they ended, and which process of the platform did not live through them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.pop(0)  # this directory, whose grpc.py is not the library
sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests.attacks.fuzz import Outcome, fuzz
from tests.attacks.triton import deploy_echo, infer, processes
from tests.e2e.platform import Platform

BATCH = 1000


def run(platform: Platform, seeds: range) -> tuple[Outcome, list[str]]:
    """Send the requests batch by batch; returns how they ended, and the batches that a process did not survive."""
    total, deaths = Outcome(), []
    before = processes(platform)
    for first in range(seeds.start, seeds.stop, BATCH):
        batch = range(first, min(first + BATCH, seeds.stop))
        outcome = asyncio.run(fuzz(platform, batch))
        total.ends.update(outcome.ends)
        total.wrong += outcome.wrong
        after = processes(platform)
        if after != before:
            deaths.append(f"seeds {batch.start} to {batch.stop - 1}: {before} became {after}")
        before = after
    return total, deaths


def main() -> None:
    count, first = (*map(int, sys.argv[1:]), *(20_000, 0)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as directory:
        platform = Platform(Path(directory) / "platform")
        platform.start()
        try:
            deploy_echo(platform)
            infer(platform)
            began = time.monotonic()
            outcome, deaths = run(platform, range(first, first + count))
            infer(platform)
            print(f"{count} requests in {time.monotonic() - began:.0f} s")
            show(outcome.ends)
        finally:
            platform.clean_up()
    print(f"replicas that ended: {len(deaths)}", *deaths, sep="\n  ")
    print(f"without an answer, or a fault of the gateway: {len(outcome.wrong)}", *outcome.wrong[:20], sep="\n  ")
    sys.exit(bool(deaths or outcome.wrong))


def show(ends: Counter[str]) -> None:
    for end, number in ends.most_common():
        print(f"  {number:6} {end}")


if __name__ == "__main__":
    main()
