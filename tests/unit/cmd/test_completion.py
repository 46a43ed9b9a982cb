"""Completion scripts, as the shells read them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from klever.cmd.main import VERBS, main

_COMPLETE = """
. "$1"; shift
COMP_WORDS=(klever "$@") COMP_CWORD=$#
_shtab_klever klever "${@: -1}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The script for bash, with a `klever` on its path that knows two objects."""
    assert main(["completion", "bash"]) == 0
    (tmp_path / "klever.bash").write_text(capsys.readouterr().out)
    (tmp_path / "klever").write_text("#!/bin/sh\nprintf '%s\\n' serving/digits serving/faces\n")
    (tmp_path / "klever").chmod(0o755)
    return tmp_path / "klever.bash"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["prom"], ["promote"]),
        (["get", "serv"], ["servings", "serving/digits", "serving/faces"]),
        (["get", "serving/d"], ["serving/digits"]),
        (["get", "servings", "d"], ["digits"]),
        (["predict", "f"], ["faces"]),
        (["completion", "f"], ["fish"]),
    ],
)
def test_bash_completes_verbs_kinds_and_names(script: Path, words: list[str], found: list[str]) -> None:
    done = subprocess.run(
        ["bash", "-c", _COMPLETE, "bash", script, *words],
        env={"PATH": f"{script.parent}:{os.environ['PATH']}"}, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert done.stdout.split() == found


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_with_every_verb(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert [verb for verb in VERBS if verb not in text] == []
