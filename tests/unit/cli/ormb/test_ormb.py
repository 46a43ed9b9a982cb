"""`ormb` as a user and a script meet it: start-up, help, exit codes, one line per error."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from klever.cli.errors import EXIT_CODES, exit_code
from klever.cli.ormb import VERBS
from klever.cli.ormb.credentials import CredentialsFile
from klever.cli.ormb.output import human_size
from klever.errors import InvalidError, KleverError, NotFoundError
from klever.oci.registries import Credentials
from klever.oci.responses import TransientError
from tests.unit.cli.costs import least_seconds, slowness

pytestmark = pytest.mark.slow

ORMB = Path(sys.executable).parent / "ormb"
PATH_ONLY = {"PATH": os.environ["PATH"]}


def ormb(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ORMB, *arguments],
        env={"HOME": str(home), "PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_version(tmp_path: Path) -> None:
    assert ormb(tmp_path, "version").stdout == "ormb 0.1.0\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(tmp_path: Path, verb: str) -> None:
    shown = ormb(tmp_path, verb, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"usage: ormb {verb}")
    assert VERBS[verb].capitalize() in shown.stdout
    assert f"ormb {verb}" in shown.stdout.partition("examples:\n")[2]


def test_help_lists_the_verbs_and_wrong_usage_is_2(tmp_path: Path) -> None:
    shown = ormb(tmp_path, "--help").stdout
    assert all(verb in shown for verb in VERBS)
    for wrong in ([], ["frobnicate"], ["push"], ["pull-and-export", "a/b", "c", "--relayout=maybe"]):
        assert ormb(tmp_path, *wrong).returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_parse(tmp_path: Path, shell: str) -> None:
    script = ormb(tmp_path, "completion", shell).stdout
    assert "pull-and-export" in script
    assert "plain-http" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["push", "vision/add:v1"], 3, "ormb: vision/add:v1 not found in .*; save or pull it first"),
        (["save", "nowhere", "vision/add:v1"], 3, "ormb: nowhere must be a directory"),
        (["pull", "Vision/add"], 6, "ormb: invalid reference 'Vision/add': invalid repository name"),
        (
            ["pull", "127.0.0.1:1/vision/add:v1"],
            7,
            "cannot reach a registry at http://127.0.0.1:1: ",
        ),
        (["pull", "localhost:99999/vision/add"], 6, "invalid registry host 'localhost:99999'"),
        (["login", "localhost:80x", "-u", "a", "-p", "b"], 6, "invalid server 'localhost:80x'"),
        (["login", "[::1", "-u", "a", "-p", "b"], 6, r"invalid server '\[::1'"),
        (["login", "https://h/p", "-u", "a", "-p", "b"], 6, "invalid server 'https://h/p'"),
        (["login", "http://192.0.2.1", "-u", "a", "-p", "b"], 4, "use https; in a private network, give --plain-http"),
        (["login", "127.0.0.1:1"], 6, "missing user name or password: give -u and --password-stdin"),
        (["logout", "127.0.0.1:1"], 3, "not logged in to 127.0.0.1:1"),
    ],
)
def test_an_error_is_one_line_and_a_code(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    ended = ormb(tmp_path, *arguments)
    assert ended.returncode == code
    assert len(ended.stderr.splitlines()) == 1
    assert re.search(message, ended.stderr), ended.stderr


def test_an_answer_that_is_none_ends_a_login(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    environ = {"HOME": str(tmp_path), **PATH_ONLY}
    os.write(ours, b"\x04")  # Ctrl-D
    login = subprocess.Popen((ORMB, "login", "127.0.0.1:1"), env=environ, stdin=its, stdout=its, stderr=its)
    os.close(its)
    assert login.wait(timeout=30) == 6
    assert b"missing user name or password: give -u and --password-stdin" in os.read(ours, 4096)
    os.close(ours)


def test_a_killed_command_leaves_no_partial_files(tmp_path: Path) -> None:
    (tmp_path / "m/model").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    script = (
        "import sys; from klever.artifacts import archive; from klever.cli.ormb import main\n"
        "def stop(directory, names, write, progress):\n"
        "    write(b'begun'); open(sys.argv[1], 'w').close(); import signal; signal.pause()\n"
        "archive.pack = stop; sys.exit(main(['save', sys.argv[2], 'vision/add:v1']))"
    )
    (tmp_path / "m/model/a.pickle").touch()
    process = subprocess.Popen(
        (sys.executable, "-c", script, tmp_path / "pipe", tmp_path / "m"), env={"HOME": str(tmp_path), **PATH_ONLY}
    )
    (tmp_path / "pipe").read_bytes()  # it has begun
    blobs = tmp_path / ".ormb/cache/blobs/sha256"
    assert [path.name[:9] for path in blobs.iterdir()] == [".partial-"]
    process.terminate()
    assert process.wait(timeout=30) == 143
    assert list(blobs.iterdir()) == []


def test_light_verbs_load_no_server_and_no_http_client(tmp_path: Path) -> None:
    script = (
        "import sys; from klever.cli.ormb import main; main(['models'])\n"
        "bad = ('klever.server', 'klever.store', 'klever.controllers', 'klever.kube', 'grpc', 'requests', 'aiohttp')\n"
        "sys.exit([name for name in bad if name in sys.modules] != [])"
    )
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    assert subprocess.run([sys.executable, "-c", script], env=environ, check=False).returncode == 0


def test_network_verbs_load_no_server() -> None:
    script = (
        "import sys; from klever.cli.ormb import build_parser; build_parser(arguments=True)\n"
        "bad = ('klever.server', 'klever.store', 'klever.controllers', 'klever.kube', 'klever.registry', 'grpc')\n"
        "sys.exit([name for name in bad if name in sys.modules] != [])"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_version_starts_fast() -> None:
    version, bare = least_seconds((ORMB, "version"), (sys.executable, "-c", "pass"))
    assert version - bare < 0.060 * slowness(bare)


def test_every_kind_of_error_has_a_code() -> None:
    assert exit_code(NotFoundError("x")) == 3
    assert exit_code(TransientError("x")) == 7
    assert exit_code(KleverError("x")) == 1
    assert set(EXIT_CODES.values()) == set(range(3, 10))


def test_credentials_are_kept_private_and_strangers_stay(tmp_path: Path) -> None:
    path = tmp_path / "deep/config.json"
    file = CredentialsFile(path)
    assert file.get("a") is None
    file.put("a", Credentials("me", "p:w"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"credsStore": "x"}))
    file.put("b", Credentials("you", ""))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (file.get("a"), file.get("b")) == (Credentials("me", "p:w"), Credentials("you", ""))
    file.remove("a")
    assert json.loads(path.read_text())["credsStore"] == "x"
    with pytest.raises(NotFoundError):
        file.remove("a")
    path.write_text("[]")
    with pytest.raises(InvalidError, match=r"config\.json: auths must be an object"):
        file.get("a")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (165990, "162.1 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_sizes_read_as_the_originals(size: int, text: str) -> None:
    assert human_size(size) == text
