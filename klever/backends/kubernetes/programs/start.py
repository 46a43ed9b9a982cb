"""The first program of a replica's container: it becomes the server that the pod's initializer described.

It runs in the Python of the server's image, with the standard library alone.
"""

import json
import os
import sys
from pathlib import Path


def main(root: Path) -> None:
    """Replace this process by the server."""
    launch = json.loads((root / "launch.json").read_text())
    os.chdir(root / "work")
    os.execvpe(launch["argv"][0], launch["argv"], {**os.environ, **launch["env"]})  # noqa: S606 - it is to be this


if __name__ == "__main__":
    main(Path(sys.argv[1]))
