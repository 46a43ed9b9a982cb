"""Which spellings are one server, and which are not."""

from __future__ import annotations

import pytest

from klever.client.addresses import Address
from klever.errors import InvalidError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h:8080", "http://h:8080"),
        ("HTTP://H:8080/", "http://h:8080"),
        ("http://h:08080", "http://h:8080"),
        ("http://h", "http://h:80"),
        ("https://h/", "https://h:443"),
        ("http://localhost:8080", "http://127.0.0.1:8080"),
        ("http://LocalHost:8080", "http://127.0.0.1:8080"),
        ("https://localhost:8080", "https://localhost:8080"),  # its certificate may be for the name alone
        ("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080"),
        ("http://[2001:DB8::A]", "http://[2001:db8::a]:80"),
        ("http://my_host.example", "http://my_host.example:80"),
    ],
)
def test_a_url_has_one_form(text: str, url: str) -> None:
    assert Address.parse(text).url() == url


def test_without_a_scheme_the_port_follows_the_one_that_is_chosen() -> None:
    address = Address.parse("H")
    assert (address.scheme, address.url("http"), address.url("https")) == ("", "http://h:80", "https://h:443")
    assert Address.parse("h:8080").url("https") == "https://h:8080"


def test_another_scheme_keeps_the_port() -> None:
    assert Address.parse("https://h").over("http") == "http://h:443"
    assert Address.parse("http://localhost:1").over("https") == "https://localhost:1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h:8080", "http://h:8081"),
        ("http://h", "https://h"),
        ("http://h", "http://h."),
        ("http://127.0.0.1:8080", "http://[::1]:8080"),
        ("http://127.0.0.1:8080", "http://127.0.0.2:8080"),
        ("http://127.0.0.1:8080", "http://127.1:8080"),
        ("http://h", "http://h.example"),
    ],
)
def test_different_servers_stay_different(one: str, other: str) -> None:
    assert Address.parse(one).url() != Address.parse(other).url()


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8080",
        "http://",
        "ftp://h",
        "h:80x",
        "h:0",
        "h:99999",
        "[::1",
        "http://127.0.0.1:8080@evil.example",
        "http://user:secret@h",
        "@h",
        "http://h/path",
        "http://h?query",
        "http://h#fragment",
        "http://127.0.0.1\\@evil.example",
        "http://h evil",
        "http://\uff45vil.example",
        "http://évil.example",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="invalid server"):
        Address.parse(text)
