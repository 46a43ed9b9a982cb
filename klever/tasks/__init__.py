"""The tasks of jobs. A task is a module with a row in `klever.tasks.table`, and one function per step.

It has `run(job) -> result`, or `fetch` and `push` if a program of another environment does the work between them.
"""

from klever.tasks.job import Job, Step, StepError
from klever.tasks.table import check, conversion, module, run

__all__ = ["Job", "Step", "StepError", "check", "conversion", "module", "run"]
