"""A user's command: what it is told, and how it is asked for its health."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from klever.errors import InvalidError
from klever.runtimes import Model, Placement
from klever.runtimes.custom import CustomRuntime

MODEL = Model("digits", "Others", ("weights.bin",), None)
AT = Placement(
    "127.0.0.1",
    PurePosixPath("/store"),
    PurePosixPath("/work"),
    PurePosixPath("/models/a"),
    http_port=1,
    grpc_port=2,
    metrics_port=3,
    command=("serve", "--x"),
)


def test_the_container_contract_is_in_its_variables() -> None:
    launch = CustomRuntime().launch(MODEL, replace(AT, env={"MODEL_STORE": "mine", "SIZE": "7"}))
    assert launch.env["MODEL_STORE"] == "/store"
    assert launch.env["SERVING_NAME"] == "digits"
    assert launch.env["SIZE"] == "7"
    assert (launch.env["PORT"], launch.env["HTTP_PORT"], launch.env["GRPC_PORT"]) == ("1", "1", "2")
    assert launch.links == {"digits": ""}


def test_variables_are_put_into_arguments_as_kubernetes_does() -> None:
    at = replace(AT, command=("serve", "--port=$(PORT)", "$(NONE)", "$$(PORT)", "$HOME"), env={"SIZE": "7"})
    assert CustomRuntime().launch(MODEL, at).argv == ("serve", "--port=1", "$(NONE)", "$(PORT)", "$HOME")


def test_without_a_probe_path_an_open_port_is_health() -> None:
    assert CustomRuntime().launch(MODEL, AT).health.path == ""
    assert CustomRuntime().launch(MODEL, replace(AT, probe_path="/ok")).health.path == "/ok"


def test_it_needs_a_command() -> None:
    with pytest.raises(InvalidError, match="needs a command"):
        CustomRuntime().launch(MODEL, replace(AT, command=()))
