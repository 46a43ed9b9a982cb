"""The rollout drill with many seeds, and how fast promotion and rollback are: `python bench/rollouts.py --seeds 100`.

A real `klever up`, on the embedded store or on a Kubernetes API server (`--store kubernetes`), under constant load.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.load import Load
from hack.kubernetes.cluster import Cluster
from tests.conftest import install_crds
from tests.drill.platform import FLAGS, Drill, prepare
from tests.e2e.platform import Platform

Row = tuple[str, str, str]
STEPS, ROUNDS = 8, 10


def drills(platform: Platform, seeds: int) -> Row:
    failed, lost, answered = 0, 0, 0
    for seed in range(seeds):
        drill = Drill(platform, seed)
        drill.run(STEPS)
        if drill.load.failed or drill.lost:
            print(f"seed {seed}: {drill.load.failed[:3]} {drill.lost[:1]} {drill.log}", file=sys.stderr)
        failed, lost = failed + len(drill.load.failed), lost + len(drill.lost)
        answered += len(drill.load.seconds)
    what = f"drill, {seeds} seeds of {STEPS} steps, {failed + answered} requests: failed requests; lost fields"
    return (what, f"{failed}; {lost}", "0; 0")


class Answers:
    """When each version answered last."""

    def __init__(self) -> None:
        self.last: dict[bytes, float] = {}

    def hear(self, answer: bytes) -> None:
        self.last[answer] = time.monotonic()


def effects(platform: Platform) -> list[Row]:
    """Measure from the call until the last answer of the version that is to go, and until the spec is rolled out.

    Main has as many processes as a canary, so that a promotion starts none.
    """
    answers, promoted, rolled_back = Answers(), list[float](), list[float]()
    drill = Drill(platform, -1)
    drill.load = Load(heard=answers.hear)
    drill.spec["predictors"][0]["replicas"] = 1
    drill.create()
    with drill.under_load():
        for number in range(ROUNDS):
            old, new = (b"v1", b"v2") if number % 2 == 0 else (b"v2", b"v1")
            drill.deploy(new.decode(), 20)
            drill.settle()
            rolled_back.append(_seconds(drill, "rollback", answers, new))
            drill.deploy(new.decode(), 20)
            drill.settle()
            promoted.append(_seconds(drill, "promote", answers, old))
    drill.delete()
    assert not drill.load.failed, drill.load.failed[:3]
    return [_row("promote", promoted), _row("rollback of a canary", rolled_back)]


def _seconds(drill: Drill, verb: str, answers: Answers, going: bytes) -> float:
    begun = time.monotonic()
    drill.act(verb)
    drill.settle()
    settled = time.monotonic()
    time.sleep(0.2)  # requests that were in flight have their answers by now
    return max(settled, answers.last.get(going, begun)) - begun


def _row(what: str, seconds: list[float]) -> Row:
    measured = f"{median(seconds):.2f} s, at most {max(seconds):.2f} s"
    return (f"{what}: until the whole effect, {len(seconds)} times", measured, "< 1 s")


@contextmanager
def platform_on(store: str, root: Path) -> Iterator[Platform]:
    cluster = Cluster(root / "cluster") if store == "kubernetes" else None
    flags: tuple[str, ...] = FLAGS
    try:
        if cluster is not None:
            cluster.up()
            install_crds(cluster)
            flags = (*FLAGS, "--store", "kubernetes", "--kubeconfig", str(cluster.kubeconfig))
        platform = Platform(root / "platform", flags)
        try:
            platform.start()
            yield platform
        finally:
            platform.clean_up()
    finally:
        if cluster is not None:
            cluster.down()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--store", choices=("sqlite", "kubernetes"), default="sqlite")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="klever-"))
    try:
        with platform_on(args.store, root) as platform:
            prepare(platform)
            rows = [*effects(platform), drills(platform, args.seeds)]
    finally:
        shutil.rmtree(root)
    print(f"objects on {args.store}\n\n| figure | measured | goal |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
