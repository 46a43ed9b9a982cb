"""The configuration file: a token for each server, private, and kept when another is added."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from klever.client.config import Config, Server, update_config
from klever.errors import InvalidError

HERE = "http://127.0.0.1:8080"
AWAY = "https://klever.example.com:8080"
PRIVATE = "http://10.0.0.5:8080"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "klever" / "config.yaml"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def known(**servers: str) -> Config:
    """Servers with a token, by scheme and port of 127.0.0.1: `http8080="token"`."""
    return Config(servers={f"{n.rstrip('0123456789')}://127.0.0.1:{n[-4:]}": Server(t) for n, t in servers.items()})


def test_the_configuration_round_trips(path: Path) -> None:
    assert Config.read(path) == Config("http://127.0.0.1:8080", "default", {})
    update_config(path, lambda config: config.with_current(HERE, Server("one")))
    update_config(path, lambda config: config.with_current(AWAY, Server("two", "/ca.pem")))
    update_config(path, lambda config: config.with_current(PRIVATE, Server("three", plaintext=True)))
    assert Config.read(path) == Config(
        PRIVATE,
        "default",
        {HERE: Server("one"), AWAY: Server("two", "/ca.pem"), PRIVATE: Server("three", plaintext=True)},
    )


def test_it_is_private_whatever_the_umask(path: Path, open_umask: None) -> None:
    update_config(path, lambda config: config.with_current(HERE, Server("one")))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o666)
    update_config(path, lambda config: config.with_current(HERE, Server("two")))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["config.yaml"]


def test_servers_that_are_added_at_once_are_all_kept(path: Path) -> None:
    urls = [f"http://127.0.0.1:{port}" for port in range(9000, 9016)]

    def add(url: str) -> None:
        update_config(path, lambda config: config.with_current(url, Server(url)))

    threads = [threading.Thread(target=add, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Config.read(path).servers) == set(urls)


def test_a_server_replaces_what_was_at_its_address(path: Path) -> None:
    config = known(http8080="old", https9090="other").with_current("https://127.0.0.1:8080", Server("new"))
    assert config.servers == {"https://127.0.0.1:9090": Server("other"), "https://127.0.0.1:8080": Server("new")}
    assert config.server == "https://127.0.0.1:8080"


def test_the_token_of_an_older_file_belongs_to_its_server(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("server: LOCALHOST:9000\nnamespace: mine\ntoken: old\n")
    config = Config.read(path)
    assert config.servers == {"http://127.0.0.1:9000": Server("old")}
    assert config.of(config.resolve_url("127.0.0.1:9000")).token == "old"
    assert config.of(config.resolve_url("127.0.0.1:9001")).token == ""
    path.write_text("token: old\n")
    assert Config.read(path).servers == {HERE: Server("old")}
    path.write_text("server: 10.0.0.5:8080\ntoken: old\n")
    assert Config.read(path).resolve_url("10.0.0.5:8080") == PRIVATE
    update_config(path, lambda config: config.with_current(HERE, Server("new")))
    assert Config.read(path).servers == {PRIVATE: Server("old"), HERE: Server("new")}


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("127.0.0.1:8080", "https://127.0.0.1:8080"),  # as it is kept
        ("127.0.0.1:9090", "http://127.0.0.1:9090"),
        ("localhost:9090", "http://127.0.0.1:9090"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("klever.example.com:8080", AWAY),
        ("10.0.0.5", "https://10.0.0.5:443"),
    ],
)
def test_a_server_without_a_scheme(server: str, url: str) -> None:
    assert known(https8080="a", http9090="b").resolve_url(server) == url


def test_flags_choose_the_scheme_where_none_is_named() -> None:
    config = known(http8080="a")
    assert config.resolve_url("127.0.0.1:8080", tls=True) == "https://127.0.0.1:8080"
    assert config.resolve_url("10.0.0.5:8080", plaintext=True) == PRIVATE
    assert config.resolve_url("10.0.0.5:8080", tls=True, plaintext=True) == "https://10.0.0.5:8080"
    assert known(https8080="a").resolve_url("127.0.0.1:8080", plaintext=True) == "https://127.0.0.1:8080"


def test_a_token_may_go_from_http_to_https_and_never_back() -> None:
    plain, encrypted = "http://127.0.0.1:8080", "https://127.0.0.1:8080"
    assert known(http8080="a").of(encrypted) == Server("a")
    assert known(https8080="a").of(plain) == Server()
    assert known(http8080="a").of("https://localhost:8080") == Server()  # ::1 may be another's


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("servers: x", r"config\.yaml: servers: must be an object"),
        ("user: me", r"config\.yaml: user: must be one of server, namespace"),
        ("servers: {'http://h:1': x}", r"config\.yaml: servers\[http://h:1\]: must be an object"),
        ("servers: {'http://h:1': {key: x}}", r"servers\[http://h:1\]\.key: must be one of token"),
        ("servers: {'http://h:1': {plaintext: x}}", r"servers\[http://h:1\]\.plaintext: must be true or false"),
        ("servers: {'http://h:1': {token: [x]}}", r"servers\[http://h:1\]\.token: must be text"),
        ("servers: {'ftp://h': {}}", r"servers\[ftp://h\]: must be HOST:PORT"),
        ("- x", r"config\.yaml: must be an object"),
        ("{", r"config\.yaml: invalid YAML"),
    ],
)
def test_a_wrong_file_is_named(path: Path, text: str, message: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InvalidError, match=message):
        Config.read(path)
