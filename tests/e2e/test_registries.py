"""Models of another registry, by a name that the table gives it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Platform]:
    """Where the models are; it wants its token for writing."""
    platform = Platform(tmp_path / "other")
    platform.start()
    yield platform
    platform.clean_up()


@pytest.fixture
def silent() -> Iterator[str]:
    """A registry that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def platform(tmp_path: Path, other: Platform, silent: str, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path / "platform", objects.fresh())
    platform.data.mkdir(parents=True)
    names = {"models.example": {"url": other.url, "token": other.token}, "silent.example": {"url": silent}}
    table = {"registries": names}
    (platform.data / "registries.yaml").write_text(yaml.safe_dump(table))
    platform.start()
    yield platform
    platform.clean_up()


def test_a_model_of_another_registry_is_read_and_served_while_a_third_is_silent(
    platform: Platform, other: Platform
) -> None:
    other.push("team/adder:v1")
    until(lambda: other.get("versions", "-n", "team")["items"][0].get("signature"))
    manifest = (
        "apiVersion: kleveross.io/v1alpha1\nkind: ModelJob\nmetadata: {name: read}\nspec:\n"
        "  model: models.example/team/adder:v1\n  desiredTag: models.example/team/adder:read\n"
        "  extraction: {format: ONNX}\n"
    )
    platform.run("klever", "apply", "-f", "-", stdin=manifest)
    platform.run("klever", "wait", "modeljob", "read", "--for=condition=Complete")
    tags = {version["tag"] for version in other.get("versions", "-n", "team")["items"]}
    assert tags == {"v1", "read"}
    for number in range(6):
        platform.run("klever", "deploy", "silent.example/team/adder:v1", "--name", f"silent-{number}")
    platform.run("klever", "deploy", "models.example/team/adder:read", "--name", "adder", "--wait")
    assert platform.infer("adder")[0] == 200
    assert _seconds_to_resolve(platform.get("serving", "adder")) < 10  # as long as each silent one takes
    said = until(lambda: _unresolved(platform.get("serving", "silent-0")))
    assert said["reason"] == "RegistryUnavailable"  # it does not answer, or others wait for it already


def _seconds_to_resolve(serving: dict[str, Any]) -> float:
    (resolved,) = (c for c in serving["status"]["conditions"] if c["type"] == "ModelResolved" and c["status"] == "True")
    begun, ended = (
        datetime.fromisoformat(time)
        for time in (serving["metadata"]["creationTimestamp"], resolved["lastTransitionTime"])
    )
    return (ended - begun).total_seconds()


def _unresolved(serving: dict[str, Any]) -> Any:
    conditions = serving.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "ModelResolved" and c["status"] == "False"), None)


def test_a_table_that_is_none_is_said(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    (tmp_path / "table.yaml").write_text("registries: {a: {colour: red}}")
    begun = platform.begin("--port", str(platform.port), "--registries", str(tmp_path / "table.yaml"))
    _, errors = begun.communicate(timeout=30)
    assert begun.returncode == 6
    assert "table.yaml" in errors
    assert "colour" in errors
