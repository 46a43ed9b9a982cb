"""How much memory replicas may request."""

from __future__ import annotations

import pytest

from klever.backends.local.room import Room
from klever.errors import ExhaustedError
from tests.errors import because

GIB = 1 << 30


def test_requests_are_admitted_up_to_the_memory_of_the_machine() -> None:
    room = Room(4 * GIB, lambda: 4 * GIB)
    room.take("a", 3 * GIB)
    with pytest.raises(ExhaustedError, check=because("NO_MEMORY")):
        room.take("b", 2 * GIB)
    room.take("a", 3 * GIB)  # it starts again
    room.take("c", 0)
    room.release("a")
    room.take("b", 2 * GIB)


def test_a_replica_that_runs_already_counts() -> None:
    room = Room(4 * GIB, lambda: 4 * GIB)
    room.note("adopted", 3 * GIB)
    with pytest.raises(ExhaustedError):
        room.take("b", 2 * GIB)


def test_memory_that_others_use_is_not_free() -> None:
    room = Room(4 * GIB, lambda: GIB)
    with pytest.raises(ExhaustedError, match=r"1\.0 GiB of 4\.0 GiB"):
        room.take("a", 2 * GIB)


def test_this_machine_has_memory() -> None:
    Room().take("small", 1 << 20)
    with pytest.raises(ExhaustedError):
        Room().take("huge", 1 << 50)
