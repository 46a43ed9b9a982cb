"""The clients of examples/clients, built from the protos of `klever proto export`, and the code in docs/clients.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import BIN, Platform, until

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "examples" / "clients"
Run = Callable[..., str]
Build = Callable[[Run, Path], list[str]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"))
    platform.start()
    platform.push("team/adder:v1")
    until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"))
    yield platform
    platform.clean_up()


def python(_run: Run, _protos: Path) -> list[str]:
    return [sys.executable, "main.py"]


def go(run: Run, protos: Path) -> list[str]:
    run("buf", "generate", str(protos), "--path", str(protos / "klever"))
    run("go", "build", "-o", "client", ".")
    return ["./client"]


def typescript(run: Run, protos: Path) -> list[str]:
    run("npm", "ci", "--no-audit", "--no-fund")
    run("buf", "generate", str(protos), "--include-imports")
    run("npm", "run", "build")
    return ["npm", "start", "--silent", "--"]


def java(run: Run, protos: Path) -> list[str]:
    run("mvn", "-q", "-B", "package", f"-Dprotos={protos}")
    return ["java", "-cp", "target/classes:target/lib/*", "example.Main"]


@pytest.mark.parametrize(
    ("build", "tool"),
    [(python, sys.executable), (go, "go"), (typescript, "npm"), (java, "mvn")],
    ids=["python", "go", "typescript", "java"],
)
def test_a_client_creates_a_serving_and_asks_it(platform: Platform, tmp_path: Path, build: Build, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    name = build.__name__
    directory = tmp_path / name
    shutil.copytree(CLIENTS / name, directory)
    protos = tmp_path / "protos"
    platform.run("klever", "proto", "export", str(protos))
    environment = os.environ | {
        "KLEVER_SERVER": f"127.0.0.1:{platform.port}",
        "KLEVER_TOKEN": platform.token,
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = run(*build(run, protos), f"by-{name}", "team/adder:v1")
    assert f"created: by-{name}" in said
    assert "answered:" in said
    assert platform.get("servings", f"by-{name}")["status"]["phase"] == "Ready"


def test_the_snippets_of_the_guide_run_as_one_program(platform: Platform, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        platform.run("ormb", "save", str(ROOT / "examples/digits" / version), f"team/digits:{version}")
        platform.run("ormb", "push", f"team/digits:{version}")
    snippets = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/clients.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "guide.py").write_text("\n".join(snippets))
    command = [sys.executable, "guide.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=platform.env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the tags of team/digits are v1, v2" in done.stdout
    assert "digits" not in [serving["metadata"]["name"] for serving in platform.get("servings")["items"]]
