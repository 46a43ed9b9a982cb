"""`klever up` fails to start: its message, and the files and processes that it does not touch."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until


@pytest.fixture
def platform(tmp_path: Path, objects: Objects) -> Platform:
    return Platform(tmp_path / "platform", objects.fresh())


def refused(platform: Platform, *flags: str) -> str:
    """Start it, and return its last words."""
    _, errors = platform.begin("--port", str(platform.port), *flags).communicate(timeout=60)
    assert "Traceback" not in errors
    return errors


def settings(platform: Platform) -> Path:
    return Path(platform.env["XDG_CONFIG_HOME"]) / "klever" / "config.yaml"


def shadow_envoy(platform: Platform, program: str) -> None:
    """Have another program found in Envoy's place; none for an empty one."""
    place = platform.root / "shadow" / "envoy" / "_bin"
    place.mkdir(parents=True)
    (place.parent / "__init__.py").touch()
    if program:
        (place / "envoy").write_text(program)
        (place / "envoy").chmod(0o755)
    platform.env["PYTHONPATH"] = str(platform.root / "shadow")


def test_a_gateway_that_is_missing_is_said(platform: Platform) -> None:
    shadow_envoy(platform, "")
    assert "Envoy is missing" in refused(platform)


def test_a_gateway_that_does_not_start_is_said_in_its_own_words(platform: Platform) -> None:
    shadow_envoy(platform, "#!/bin/sh\necho no such flag >&2\nexit 3\n")
    errors = refused(platform)
    assert "cannot start the gateway (Envoy)" in errors
    assert "no such flag" in errors


def test_a_failed_start_leaves_the_settings_of_the_one_that_runs(platform: Platform) -> None:
    settings(platform).parent.mkdir(parents=True)
    settings(platform).write_text("namespace: mine\n")
    platform.start()
    try:
        told = yaml.safe_load(settings(platform).read_text())
        servers = {platform.url: {"token": platform.token}}
        assert told == {"server": platform.url, "namespace": "mine", "servers": servers}
        assert "klever: " in refused(platform, "--data", str(platform.root / "other"))
        assert yaml.safe_load(settings(platform).read_text()) == told
        assert platform.get("servings", "-A")["items"] == []
    finally:
        platform.clean_up()


def test_a_port_that_is_taken_and_free_again(platform: Platform) -> None:
    with socket.create_server(("127.0.0.1", platform.port)):
        assert f"127.0.0.1:{platform.port}; the port is in use, choose another with --port\n" in refused(platform)
    platform.start()
    platform.clean_up()


def test_an_address_that_is_none_of_this_machine(platform: Platform) -> None:
    assert "this machine has no such address, choose another with --host" in refused(
        platform, "--host", "192.0.2.1", "--plaintext"
    )


def test_localhost_is_an_address(platform: Platform) -> None:
    platform.flags += ("--host", "localhost")
    platform.start()
    try:
        assert platform.get("servings", "-A")["items"] == []
    finally:
        platform.clean_up()


def test_an_empty_token_lets_nobody_in(platform: Platform) -> None:
    platform.data.mkdir(parents=True)
    (platform.data / "token").touch()
    assert "token is empty: remove it" in refused(platform)
    assert not settings(platform).exists()


def test_settings_that_cannot_be_read_are_no_reason_not_to_start(platform: Platform) -> None:
    settings(platform).mkdir(parents=True)
    platform.start()
    assert "`klever` and `ormb` will not find this platform" in platform.end()


def test_a_data_directory_with_a_percent_sign(platform: Platform) -> None:
    platform.data = platform.root / "100%41"
    platform.env["KLEVER_DATA"] = str(platform.data)
    platform.start()
    try:
        platform.push("team/adder:v1")
        platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    finally:
        platform.clean_up()


def test_a_closed_terminal_does_not_cut_the_stop_short(platform: Platform) -> None:
    platform.start()
    assert platform.process is not None
    assert platform.process.stdout is not None
    platform.process.stdout.close()
    platform.process.terminate()
    assert platform.process.wait(timeout=60) == 0
    assert "Traceback" not in platform.log.read_text()


def test_a_port_that_is_none(platform: Platform) -> None:
    assert "must be between 0 and 65535, not 99999" in refused(platform, "--port", "99999")


def test_an_environment_that_cannot_be_made_is_said_by_the_serving(platform: Platform) -> None:
    platform.env |= {"XDG_CACHE_HOME": str(platform.root / "cache"), "PIP_NO_INDEX": "1"}
    platform.start()
    try:
        platform.push("team/adder:v1")
        platform.run("klever", "deploy", "team/adder:v1", "--name", "adder")

        def said() -> str:
            conditions = platform.get("servings", "adder").get("status", {}).get("conditions", [])
            return next((c["message"] for c in conditions if c["type"] == "Ready"), "")

        until(lambda: "environment triton" in said() and "next attempt in" in said(), 60)
    finally:
        platform.clean_up()
