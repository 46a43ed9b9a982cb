"""`python table_cases.py PROGRAMS REQUESTS`: convert models of tables in one process.

It runs in the Python of the environment `tabular-onnx`, where neither Klever nor pytest is installed. REQUESTS is a
JSON file: case -> request of a program. The last line of its output is a JSON object: case -> report, or the message of
the error.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def main() -> None:
    programs, requests = map(Path, sys.argv[1:3])
    convert = runpy.run_path(str(programs / "__main__.py"))["_convert"]
    print(json.dumps({name: ended(convert, request) for name, request in json.loads(requests.read_text()).items()}))


def ended(convert: Callable[[Any], None], request: Mapping[str, Any]) -> Any:
    try:
        convert(request)
    except SystemExit as error:
        return str(error)
    return json.loads(Path(request["report"]).read_text())


if __name__ == "__main__":
    main()
