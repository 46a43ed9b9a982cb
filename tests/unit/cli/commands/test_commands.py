"""`klever` as a user meets it before there is a server: help, and errors in a line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from klever.cmd import main
from klever.cmd.main import VERBS
from tests.unit.cli.costs import least_seconds, slowness

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[3] / "data"
KLEVER = Path(sys.executable).parent / "klever"


def klever(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KLEVER, *arguments],
        env={"HOME": str(home), "PATH": os.environ["PATH"], **environ},
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
        (["extract", "nowhere"], 6, "nowhere has no directory model/"),
        (["wait", "model", "x", "--for=delete"], 6, "models do not support waiting; these do: modeljobs, servings"),
        (["wait", "serving", "x", "--for=Ready"], 6, "must be condition=TYPE[=STATUS] or delete, not 'Ready'"),
        (["events", "models"], 6, "models do not support events"),
        (["describe", "model", "x"], 6, "invalid model 'x': expected PROJECT/MODEL"),
        (["get", "models", "-l", "a=b"], 6, "models do not support label selectors"),
        (["get", "servings", "--server", "ftp://x"], 6, "invalid server 'ftp://x'"),
        (["get", "servings", "--server", "127.0.0.1:80x"], 6, "invalid server '127.0.0.1:80x'"),
        (["get", "servings", "--server", "[::1"], 6, "invalid server '[::1'"),
        (["get", "servings", "--token", "a\nb"], 6, "invalid characters in the token"),
        (["get", "servings", "--server", "http://192.0.2.1:1", "--token", "t"], 4, "use https; give --ca-file FILE"),
        (["get", "servings", "--ca-file", "nowhere.pem"], 6, "nowhere.pem must be a PEM file of certificates"),
        (["login", "127.0.0.1:1"], 6, "missing token: give it on standard input"),
        (["up", "--host", "192.0.2.1"], 6, "--tls-cert FILE and --tls-key FILE, or --tls-self-signed, or --plaintext"),
        (["up", "--tls-cert", "cert.pem"], 6, "--tls-cert and --tls-key must be given together"),
        (["up", "--tls-cert", "c", "--tls-key", "k", "--tls-self-signed"], 6, "mutually exclusive"),
        (["traffic", "x", "main=99999999999"], 6, "invalid share 'main=99999999999'"),
        (["traffic", "x", "main=20", "main=80"], 6, "predictor main has two shares"),
        (["predict", "x", "--example", "-H", "x"], 6, "invalid header 'x': expected NAME:VALUE"),
        (["predict", "x", "--example", "--timeout", "nan"], 6, "invalid duration 'nan'"),
        (["wait", "serving", "x", "--for=delete", "--timeout=-5s"], 6, "invalid duration '-5s'"),
    ],
)
def test_an_error_is_one_line_and_a_code(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    ended = klever(tmp_path, *arguments)
    assert ended.returncode == code
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_foreign_kind_is_not_applied(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: x}}")
    ended = klever(tmp_path, "apply", "-f", str(tmp_path / "pod.yaml"))
    assert ended.returncode == 6
    assert "expected one of ModelJob (kleveross.io/v1alpha1), Serving" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["logs", "serving", "x", "--tail", "99999999999"],
            "--tail: must be between 0 and 2147483647",
        ),
        (["doctor", "--port", "99999"], "--port: must be between 0 and 65535, not 99999"),
        (["up", "--host", "nohost"], "--host: must be an IP address, not 'nohost'"),
        (["up", "--port", "0"], "--port: must be a fixed port"),
        (["up", "--port", "abc"], "--port: invalid port value: 'abc'"),
        (["up", "--model-cache", "nan"], "--model-cache: must be a size in GiB, not nan"),
        (["up", "--model-cache=-3"], "--model-cache: must be a size in GiB, not -3"),
    ],
)
def test_a_value_that_cannot_be_is_wrong_usage(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = klever(tmp_path, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"klever {arguments[0]}: error: argument {said}")


def test_a_proxy_is_not_asked_for_the_platform(tmp_path: Path) -> None:
    for proxy in ("http_proxy", "https_proxy", "grpc_proxy"):
        ended = klever(tmp_path, "get", "servings", "--server", "127.0.0.1:1", **{proxy: "http://127.0.0.1:2"})
        assert ended.returncode == 7
        assert ":2: " not in ended.stderr


def test_output_survives_an_ascii_terminal_and_a_closed_pipe(tmp_path: Path) -> None:
    strange = tmp_path / "größe"
    listed = klever(tmp_path, "env", "list", XDG_CACHE_HOME=str(strange), PYTHONIOENCODING="ascii")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "gr\\xf6\\xdfe" in listed.stdout
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        command = ("sh", "-c", f'"$0" env list {closed}', KLEVER)
        ended = subprocess.run(command, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_format_that_files_do_not_tell_is_read_where_the_advice_says(tmp_path: Path) -> None:
    shutil.copytree(DATA / "onnx", tmp_path / "m")
    (tmp_path / "m/ormbfile.yaml").unlink(missing_ok=True)
    (tmp_path / "m/model/weights.pt").touch()
    unclear = klever(tmp_path, "extract", str(tmp_path / "m"))
    assert (unclear.returncode, "name the format in ormbfile.yaml" in unclear.stderr) == (6, True)
    (tmp_path / "m/ormbfile.yaml").write_text("format: ONNX\n")
    assert klever(tmp_path, "extract", str(tmp_path / "m")).stdout.startswith("format: ONNX\n")


def test_help_writes_names_as_they_are(tmp_path: Path) -> None:
    assert "Create or update objects from a YAML file." in klever(tmp_path, "apply", "--help").stdout


def test_ctrl_c_is_told_in_one_line_however_early_it_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_verb: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_module", interrupted)
    assert main.main(["up"]) == 130
    assert capsys.readouterr().err == "klever: interrupted\n"
