"""What runs inside a job. A task is a module with `run(job) -> result` and a row in `klever.tasks.table`."""

from klever.tasks.job import Job, Step, StepError
from klever.tasks.table import check, module, run

__all__ = ["Job", "Step", "StepError", "check", "module", "run"]
