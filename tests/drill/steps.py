"""The steps of a drill: a seed gives the same sequence, whether parts are simulated or real."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any, Final

__all__ = ["SETTINGS", "SURGES", "TAGS", "Action", "Step", "spec_of", "steps"]

SETTINGS: Final[Mapping[str, Any]] = {
    "replicas": 2,
    "resources": {"limits": {"cpu": "500m"}},
    "env": [{"name": "OMP_NUM_THREADS", "value": "1"}],
}
"""Fields of the predictor main that no step names, and that must therefore stay."""
TAGS: Final = ("v1", "v2", "v3")
BAD_TAG: Final = "mistyped"
SURGES: Final = ("100%", "1")
"""Both of two replicas are replaced at once, or one after the other."""


class Action(StrEnum):
    DEPLOY = auto()
    BAD_TAG = auto()
    CANARY = auto()
    PROMOTE = auto()
    ROLLBACK = auto()
    CRASH = auto()
    """One of several Ready replicas is killed."""
    KILL = auto()
    """The control plane is killed and starts again. Everything else runs on."""
    RESTART = auto()


_WEIGHTS: Final = (3, 2, 3, 2, 2, 2, 2, 1)
"""How often each action comes, in their order."""


@dataclass(frozen=True, slots=True)
class Step:
    """`model` and `share` are for a deploy or a canary, `pick` chooses a replica to crash.

    A step that does not `settle` is followed by the next one at once.
    """

    action: Action
    model: str
    share: int
    pick: random.Random
    settle: bool


def steps(seed: int, count: int) -> Iterator[Step]:
    """Yield the steps of a seed."""
    chance = random.Random(seed)
    for _ in range(count):
        action = chance.choices(list(Action), _WEIGHTS)[0]
        tags = (BAD_TAG,) if action is Action.BAD_TAG else (*TAGS, BAD_TAG) if action is Action.CANARY else TAGS
        yield Step(
            action,
            f"team/digits:{chance.choice(tags)}",
            chance.choice((0, 20, 100)),
            random.Random(chance.random()),
            settle=chance.random() < 0.7,
        )


def spec_of(seed: int, predictor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec that a drill begins with: main with the settings and further fields of a predictor."""
    main = {"name": "main", "model": f"team/digits:{TAGS[0]}", **SETTINGS, **predictor}
    return {"predictors": [main], "strategy": {"maxSurge": SURGES[seed % 2]}}
