"""Changes of split and version under load, and the share that a split gives: `python bench/changes.py`.

A real `klever up` with two predictors of the digits model. Every fifth change replaces the canary's version.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from threading import Event, Thread

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.load import Load, closed, pixels
from bench.machine import ROOT, Row
from tests.e2e.platform import Platform, until

CHANGES, VERSION_EVERY, REQUESTS = 200, 5, 20_000
NAME = "digits"


def publish(platform: Platform) -> None:
    for version in ("v1", "v2"):
        directory = platform.root / version
        shutil.copytree(ROOT / "examples" / "digits" / version, directory)
        platform.run("ormb", "save", str(directory), f"team/digits:{version}")
        platform.run("ormb", "push", f"team/digits:{version}")


def declare(platform: Platform, canary: str, share: int) -> None:
    """Apply the Serving, and wait until all of it is live."""
    predictors = [
        {"name": "main", "model": "team/digits:v1", "traffic": 100 - share},
        {"name": "canary", "model": f"team/digits:{canary}", "traffic": share},
    ]
    serving = {"apiVersion": "kleveross.io/v1alpha1", "kind": "Serving", "metadata": {"name": NAME}}
    document = json.dumps(serving | {"spec": {"predictors": predictors}})
    platform.run("klever", "apply", "-f", "-", stdin=document)
    platform.run("klever", "wait", "serving", NAME, "--for=condition=Ready", "--timeout", "60s")
    until(lambda: _live(platform, share))


def _live(platform: Platform, share: int) -> bool:
    status = platform.get("servings", NAME)["status"]
    return bool(status["trafficSummary"] == f"main={100 - share} canary={share}")


def under_load(platform: Platform, url: str) -> Row:
    load, stop = Load(), Event()

    def drive() -> None:
        asyncio.run(closed(url, pixels(), 4, stop.is_set, load))

    client = Thread(target=drive)
    client.start()
    begun = time.monotonic()
    for number in range(CHANGES):
        share = 10 + number * 7 % 80
        if number % VERSION_EVERY == 0:
            declare(platform, "v1" if number % (2 * VERSION_EVERY) else "v2", share)
        else:
            platform.run("klever", "traffic", NAME, f"main={100 - share}", f"canary={share}")
    stop.set()
    client.join()
    seconds = time.monotonic() - begun
    for words, times in Counter(load.failed).most_common(3):
        print(f"{times} x {words}", file=sys.stderr)
    what = f"{CHANGES} changes, {CHANGES // VERSION_EVERY} of them of the version, in {seconds:.0f} s: failed requests"
    return (what, f"{len(load.failed)} of {len(load.failed) + len(load.seconds)}", "0")


def measure_share(platform: Platform, url: str) -> Row:
    declare(platform, "v2", 20)
    answers: Counter[bytes] = Counter()
    load = Load(heard=lambda answer: answers.update((answer.partition(b'"data"')[2],)))
    asyncio.run(closed(url, pixels(), 8, lambda: len(load.seconds) >= REQUESTS, load))
    assert not load.failed
    assert len(answers) == 2, answers
    total = sum(answers.values())
    share = 100 * min(answers.values()) / total
    return (f"share of a canary at 20 % over {total} requests", f"{share:.2f} %", "19..21 %")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        platform = Platform(Path(directory))
        platform.start()
        try:
            publish(platform)
            declare(platform, "v2", 20)
            url = f"{platform.url}/seldon/default/{NAME}/v2/models/{NAME}/infer"
            rows = [measure_share(platform, url), under_load(platform, url)]
        finally:
            platform.clean_up()
    print("| figure | measured | goal |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
