"""The package `ormb`, against the embedded registry in a process of its own."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ormb

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a registry that wants the token `secret` for writing."""
    command: list[str | Path] = [sys.executable, TESTS / "unit/registry/serve.py", tmp_path_factory.mktemp("registry")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KLEVER_SERVER", "KLEVER_TOKEN", "XDG_CONFIG_HOME", "ROOTPATH", "rootPath"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_model_goes_to_a_registry_and_back(registry: str, home: Path) -> None:
    model, ref = home / "adder", f"{registry}/team/adder:v1"
    shutil.copytree(TESTS / "data/onnx", model)
    assert ormb.login(registry, "me", "secret", insecure="True").stdout == "Login succeeded\n"
    assert ormb.save(str(model), ref).stdout.endswith("v1: saved\n")
    assert "v1: pushed to remote" in ormb.push(ref).stdout
    assert ormb.remove(ref).returncode == 0
    pulled = ormb.pull(ref)
    assert isinstance(pulled, subprocess.CompletedProcess)
    assert "Downloaded newer model" in pulled.stdout
    for _ in range(2):  # it replaces what is there
        assert ormb.export(ref, home / "here").returncode == 0
    original = next((model / "model").iterdir())
    assert (home / "here/model" / original.name).read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ormb.login("127.0.0.1:1", "me", "secret"), ormb.ORMBLoginError),
        (lambda: ormb.save("nowhere", "team/adder:v1"), ormb.ORMBSaveError),
        (lambda: ormb.push("team/adder:v1"), ormb.ORMBPushError),
        (lambda: ormb.pull("127.0.0.1:1/team/adder:v1"), ormb.ORMBPullError),
        (lambda: ormb.export("team/adder:v1", "here"), ormb.ORMBExportError),
        (lambda: ormb.remove("team/adder:v1"), ormb.ORMBRemoveError),
    ],
)
def test_a_failure_has_an_exception_of_its_own(call: Callable[[], object], error: type[ormb.ORMBError]) -> None:
    with pytest.raises(error) as raised:
        call()
    assert raised.value.stderr.startswith("ormb: ")
    assert str(raised.value).endswith(f"failed with stderr:\n{raised.value.stderr}")


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        ("login", ["hostname", "username", "password", "insecure"]),
        ("save", ["src", "ref"]),
        ("push", ["ref"]),
        ("pull", ["ref"]),
        ("export", ["ref", "dst"]),
        ("remove", ["ref"]),
    ],
)
def test_functions_have_the_parameters_of_the_original(function: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(ormb, function)).parameters) == parameters


def test_an_import_loads_neither_grpc_nor_the_platform() -> None:
    code = "import sys, ormb; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"grpc", "numpy", "klever.server", "klever.cli"} & set(loaded)
