"""`klever` as a user meets it before there is a server: help, and errors in a line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from klever.cmd import main
from klever.cmd.main import VERBS
from tests.unit.cli.costs import least_seconds, slowness

KLEVER = Path(sys.executable).parent / "klever"


def klever(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KLEVER, *arguments],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_help_starts_fast() -> None:
    spent, bare = least_seconds((KLEVER, "--help"), (sys.executable, "-c", "pass"))
    assert spent < 0.150 * slowness(bare)


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
        (["get", "models", "-l", "a=b"], 6, "models are not selected by labels"),
        (["get", "servings", "--server", "ftp://x"], 6, "'ftp://x' is neither HOST:PORT nor a URL"),
        (["get", "servings", "--token", "a\nb"], 6, "the token holds characters that no token has"),
        (["traffic", "x", "main=99999999999"], 6, "'main=99999999999' is not PREDICTOR=PERCENT"),
        (["traffic", "x", "main=20", "main=80"], 6, "main is given a share twice"),
        (["predict", "x", "--example", "-H", "x"], 6, "'x' is not NAME:VALUE"),
        (["predict", "x", "--example", "--timeout", "nan"], 6, "'nan' is not a duration"),
        (["wait", "serving", "x", "--for=delete", "--timeout=-5s"], 6, "'-5s' is not a duration"),
    ],
)
def test_an_error_is_one_line_and_a_code(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    ended = klever(tmp_path, *arguments)
    assert ended.returncode == code
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_what_is_of_another_kind_is_not_applied(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: x}}")
    ended = klever(tmp_path, "apply", "-f", str(tmp_path / "pod.yaml"))
    assert ended.returncode == 6
    assert "kind 'Pod' of apiVersion 'v1' cannot be applied; ModelJob (kleveross.io/v1alpha1) and " in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["logs", "serving", "x", "--tail", "99999999999"], "--tail: 99999999999 is not within 0.."),
        (["doctor", "--port", "99999"], "--port: 99999 is not within 0..65535"),
        (["up", "--host", "nohost"], "--host: 'nohost' is no IP address"),
        (["up", "--port", "abc"], "--port: invalid port value: 'abc'"),
        (["up", "--model-cache", "nan"], "--model-cache: nan is no size of a disk"),
        (["up", "--model-cache=-3"], "--model-cache: -3 is no size of a disk"),
    ],
)
def test_a_value_that_cannot_be_is_wrong_usage(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = klever(tmp_path, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"klever {arguments[0]}: error: argument {said}")


def test_help_writes_names_as_they_are(tmp_path: Path) -> None:
    assert "Create or change objects as a YAML file declares them." in klever(tmp_path, "apply", "--help").stdout


def test_ctrl_c_is_told_in_one_line_however_early_it_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_verb: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_module", interrupted)
    assert main.main(["up"]) == 130
    assert capsys.readouterr().err == "klever: interrupted\n"
