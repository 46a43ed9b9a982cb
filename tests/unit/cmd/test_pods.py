"""The file of `klever controllers --pods`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from klever.cmd.pods import read_pods
from klever.errors import InvalidError
from klever.routers.istio import IstioSettings

FILE = """
image: registry.example/klever:1.0
python: /usr/local/bin/python3
pullSecrets: [registry]
pod: {spec: {schedulerName: volcano}}
environments:
- image: registry.example/klever-triton:1.0
  paths: {triton: /opt/environments/triton}
"""


def read(tmp_path: Path, content: str) -> None:
    (tmp_path / "pods.yaml").write_text(content)
    read_pods(tmp_path / "pods.yaml")


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    (tmp_path / "pods.yaml").write_text(FILE)
    pods = read_pods(tmp_path / "pods.yaml")
    assert (pods.image, pods.python, pods.user) == ("registry.example/klever:1.0", "/usr/local/bin/python3", 65532)
    assert pods.pull_secrets == ("registry",)
    assert pods.pod == {"spec": {"schedulerName": "volcano"}}
    assert pods.environments[0].paths == {"triton": PurePosixPath("/opt/environments/triton")}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "image: is required"),
        ("[]", "image: is required"),
        ("image: a\nimages: b\n", "unknown field 'images'"),
        ("image: a\nuser: root\n", "invalid literal"),
        ("image: a\nenvironments: [{image: b}]\n", "'paths'"),
        ("image: a\nenvironments: 5\n", "not iterable"),
        ("image: a\npod: {spec: {containers: [{image: b}]}}\n", "containers: each item must be an object with name"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_field(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(InvalidError) as refused:
        read(tmp_path, content)
    assert words in refused.value.message


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as refused:
        read_pods(tmp_path / "none.yaml")
    assert "none.yaml: No such file" in refused.value.message


ISTIO = """
image: a
istio:
  url: https://models.example.com
  probe: http://10.0.0.1
  gateway: istio-system/models
  selector: {istio: gateway}
  port: 8080
  hosts: [models.example.com]
  drainSeconds: 2
"""


def test_the_settings_of_istio(tmp_path: Path) -> None:
    (tmp_path / "pods.yaml").write_text(ISTIO)
    assert read_pods(tmp_path / "pods.yaml").istio == IstioSettings(
        url="https://models.example.com",
        probe="http://10.0.0.1",
        gateway="istio-system/models",
        selector={"istio": "gateway"},
        port=8080,
        hosts=("models.example.com",),
        drain_s=2.0,
    )


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ("{}", "istio.url"),
        ("[]", "istio.url"),
        ("{url: models.example.com}", "istio.url"),
        ("{url: 'http://a', prob: b}", "istio"),
        ("{url: 'http://a', gateway: models}", "istio.gateway"),
        ("{url: 'http://a', selector: {}}", "istio.selector"),
        ("{url: 'http://a', port: 70000}", "istio.port"),
        ("{url: 'http://a', port: true}", "istio.port"),
        ("{url: 'http://a', hosts: a.example}", "istio.hosts"),
        ("{url: 'http://a', hosts: ['']}", "istio.hosts"),
        ("{url: 'http://a', drainSeconds: -1}", "istio.drainSeconds"),
    ],
)
def test_a_setting_of_istio_that_is_invalid(tmp_path: Path, settings: str, field: str) -> None:
    with pytest.raises(InvalidError, match=rf"pods\.yaml: {field}: "):
        read(tmp_path, f"image: a\nistio: {settings}\n")
