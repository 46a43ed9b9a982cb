"""Convert a model, compare both, and write the report. The one argument is the request (see `klever.converters`)."""

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

_FOLDER = Path(__file__).parent


def main() -> None:
    spec = importlib.util.spec_from_file_location(
        _FOLDER.name, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
    )
    if spec is None or spec.loader is None:
        sys.exit(f"{_FOLDER} is not a package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[_FOLDER.name] = package
    spec.loader.exec_module(package)
    request = json.loads(Path(sys.argv[1]).read_text())
    run = importlib.import_module(f"{_FOLDER.name}.run")
    run.convert(request, dict(os.environ))


if __name__ == "__main__":
    main()
