"""Reads the state of a task from its process."""

from __future__ import annotations

from typing import Final

from klever.executors import Outcome, TaskPhase, TaskState
from klever.process import ProcessState

__all__ = ["STEP", "identify", "is_task", "process_id", "step", "succeeded", "task_state"]

STEP: Final = "step"
"""The label of a process with the step of its task."""
_PREFIX: Final = "task-"


def process_id(uid: str) -> str:
    """Return the id of the task's process."""
    return f"{_PREFIX}{uid}"


def identify(process: str) -> str:
    """Return the uid of the process's task."""
    return process.removeprefix(_PREFIX)


def is_task(process: str) -> bool:
    """Return whether a process belongs to a task."""
    return process.startswith(_PREFIX)


def step(state: ProcessState) -> str:
    """Return the step of a process. Older versions had one step, without a label."""
    return state.spec.labels.get(STEP, "run")


def succeeded(state: ProcessState) -> bool:
    """Return whether an ended process has completed its step."""
    return state.exit_code == 0 and _outcome(state).exit_code == 0


def task_state(state: ProcessState) -> TaskState:
    """Return the state of a task from the state of its last process."""
    outcome = _outcome(state)
    if state.phase != "Exited":
        phase, reason = TaskPhase.RUNNING, ""
    elif succeeded(state):
        phase, reason = TaskPhase.SUCCEEDED, "Completed"
    else:
        lost = state.exit_code is None
        phase, reason = TaskPhase.FAILED, "Lost" if lost else outcome.reason or _reason(state)
    return TaskState(
        identify(state.spec.id),
        state.spec.labels["namespace"],
        state.spec.labels["name"],
        phase,
        reason,
        outcome.message,
        outcome.exit_code or state.exit_code,
        outcome.result,
        state.started_at,
        state.exited_at,
    )


def _outcome(state: ProcessState) -> Outcome:
    """Return the outcome, which has more detail than the exit code. Only that of the platform's program is trusted."""
    plain = Outcome(state.exit_code or 0, state.message)
    return plain if step(state) == "work" else Outcome.parse(state.message) or plain


def _reason(state: ProcessState) -> str:
    return state.reason if state.exit_code else "Error"
