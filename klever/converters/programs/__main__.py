"""Converts a model, compares both models, and writes the report. Its argument is the request (`klever.converters`).

`python -I programs REQUEST` starts this file. Klever is not installed in the environment: only this folder becomes
importable, under its usual name, so that its modules can import each other.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

_PACKAGE = "klever.converters.programs"


def main() -> None:
    """Run the conversion in a process of its own, which some damaged models crash, and say how it ended."""
    request = json.loads(Path(sys.argv[1]).read_text())
    child = os.fork()
    if not child:
        _convert(request)
        return
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGKILL:  # by the platform, which says why
            os.kill(os.getpid(), signal.SIGKILL)
        name = signal.Signals(os.WTERMSIG(status)).name
        _end(f"the framework crashed ({name}): the model is damaged, or the framework does not support it")
    if os.WEXITSTATUS(status):
        sys.exit(os.WEXITSTATUS(status))
    if not Path(request["report"]).exists():
        _end("the conversion ended without a report: the model may contain code that ends its process")


def _convert(request: Mapping[str, Any]) -> None:
    """Make the folder importable and run the conversion."""
    parts = _PACKAGE.split(".")
    for count in range(1, len(parts) + 1):
        package = ModuleType(".".join(parts[:count]))
        package.__path__ = [str(Path(__file__).parent)] if count == len(parts) else []
        sys.modules[package.__name__] = package
    run = importlib.import_module(f"{_PACKAGE}.run")
    run.convert(request, dict(os.environ))  # noqa: TID251 - the variables of the job


def _end(message: str) -> NoReturn:
    """Exit with a message, which the platform shows."""
    if path := os.environ.get("KLEVER_TERMINATION_LOG"):  # noqa: TID251 - the platform's own variable
        Path(path).write_text(message)
    sys.exit(message)


if __name__ == "__main__":
    main()
