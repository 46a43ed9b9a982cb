"""`make demo`, as it is run without a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_the_demo_shows_the_whole_main_job() -> None:
    done = subprocess.run([sys.executable, str(DEMO)], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("ormb push", "started by itself", "pixels float32[-1, 64]", "Ready after", "traffic over", "stopped"):
        assert step in done.stdout
