"""`klever` as a user meets it before there is a server: help, and errors in a line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from klever.cmd.main import VERBS

KLEVER = Path(sys.executable).parent / "klever"


def klever(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KLEVER, *arguments],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(tmp_path: Path, verb: str) -> None:
    shown = klever(tmp_path, verb, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"usage: klever {verb}")
    assert "examples:\n" in shown.stdout
    assert f"klever {verb}" in shown.stdout.partition("examples:\n")[2]


@pytest.mark.parametrize("action", ["list", "install", "remove"])
def test_so_has_every_action_on_environments(tmp_path: Path, action: str) -> None:
    assert f"klever env {action}" in klever(tmp_path, "env", action, "--help").stdout.partition("examples:\n")[2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["get", "servings", "--server", "127.0.0.1:1"], 7, "no answer from 127.0.0.1:1: is `klever up` running?"),
        (["apply", "-f", "nowhere.yaml"], 1, "nowhere.yaml: No such file or directory"),
        (["extract", "nowhere"], 6, "nowhere has no model/ in it"),
        (["wait", "model", "x", "--for=delete"], 6, "models cannot be waited for; modeljobs and servings can"),
        (["wait", "serving", "x", "--for=Ready"], 6, "is neither condition=TYPE[=STATUS] nor delete"),
        (["events", "models"], 6, "models have no events"),
        (["describe", "model", "x"], 6, "'x' is not PROJECT/MODEL"),
    ],
)
def test_an_error_is_one_line_and_a_code(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    ended = klever(tmp_path, *arguments)
    assert ended.returncode == code
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
