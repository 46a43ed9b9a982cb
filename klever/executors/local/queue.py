"""The queue of waiting tasks."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Final

from klever.executors import Task

__all__ = ["Queue"]

_COUNTED: Final = 20
"""How many waiting tasks show their place in the queue. Each start changes it, and each change costs a write."""


class Queue:
    """Waiting tasks by uid. Namespaces take turns, so that one with many tasks delays the others by only one."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._turn = 0
        self._turns: dict[str, int] = {}
        """When each namespace had its last turn."""

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, uid: str) -> bool:
        return uid in self._tasks

    def __getitem__(self, uid: str) -> Task:
        return self._tasks[uid]

    def add(self, task: Task) -> None:
        self._tasks[task.uid] = task

    def remove(self, uid: str) -> None:
        """Remove a task, if it is waiting."""
        self._tasks.pop(uid, None)

    def uids(self) -> tuple[str, ...]:
        return tuple(self._tasks)

    def first(self) -> tuple[str, ...]:
        """Return the tasks whose place is shown."""
        return tuple(islice(self._tasks, _COUNTED))

    def place(self, uid: str) -> str:
        """Return the number of tasks ahead of a waiting one, for people."""
        first = self.first()
        return str(first.index(uid)) if uid in first else f"at least {_COUNTED}"

    def take_turn(self) -> Task:
        """Return the next task: the oldest one of the namespace that has waited longest. It stays in the queue."""
        task = min(self._tasks.values(), key=lambda task: self._turns.get(task.namespace, 0))
        self._turn += 1
        self._turns[task.namespace] = self._turn
        return task
