"""Converts a model, compares both models, and writes the report. Its argument is the request (`klever.converters`).

`python -I programs REQUEST` starts this file. Klever is not installed in the environment: only this folder becomes
importable, under its usual name, so that its modules can import each other.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType

_PACKAGE = "klever.converters.programs"


def main() -> None:
    """Make the folder importable and run the conversion."""
    parts = _PACKAGE.split(".")
    for count in range(1, len(parts) + 1):
        package = ModuleType(".".join(parts[:count]))
        package.__path__ = [str(Path(__file__).parent)] if count == len(parts) else []
        sys.modules[package.__name__] = package
    run = importlib.import_module(f"{_PACKAGE}.run")
    request = json.loads(Path(sys.argv[1]).read_text())
    run.convert(request, dict(os.environ))  # noqa: TID251 - the variables of the job


if __name__ == "__main__":
    main()
