"""A job's process: what it says where it cannot leave its outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_an_outcome_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    inputs = {"model": "no reference", "extraction": {"format": "ONNX"}, "limits": {}}
    spec = {"module": "klever.tasks.extraction", "inputs": inputs, "secrets": {"platform": None, "entries": {}}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    ended = subprocess.run(
        [sys.executable, "-m", "klever.cmd.task", str(tmp_path / "spec.json")],
        env={"KLEVER_TERMINATION_LOG": str(tmp_path / "nowhere" / "outcome")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1].endswith("; cannot write the outcome: No such file or directory")
