"""A toy kind: its proto compiled, and its row."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from hack.crds import crds
from klever.api.kinds import Kind

ROOT = Path(__file__).parents[3]
TOY = ROOT / "tests" / "data" / "toy"
GOOGLE = files("grpc_tools") / "_proto"

__all__ = ["ToyKind"]


class ToyKind(NamedTuple):
    row: Kind
    messages: ModuleType
    stubs: ModuleType


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyKind:
    out = tmp_path_factory.mktemp("toy")
    package = out / "toys"
    (package / "crd").mkdir(parents=True)
    (package / "__init__.py").touch()
    paths = [f"--proto_path={path}" for path in (TOY, ROOT / "api/proto", ROOT / "api/third_party", GOOGLE)]
    made = [f"--python_out={out}", f"--grpc_python_out={out}", f"--descriptor_set_out={out / 'toy.binpb'}"]
    sets = ["--include_imports", "--include_source_info"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *paths, *made, *sets, "toys/toy.proto"]
    subprocess.run(command, check=True, timeout=60)
    name = "toys.kleveross.io.yaml"
    (package / "crd" / name).write_text(crds((out / "toy.binpb").read_bytes())[name])
    sys.path.append(str(out))
    messages, stubs = import_module("toys.toy_pb2"), import_module("toys.toy_pb2_grpc")
    service = messages.DESCRIPTOR.services_by_name["ToyService"]
    return ToyKind(Kind.describe(messages.Toy, service=service, controllers=("toy",)), messages, stubs)
