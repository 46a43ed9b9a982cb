"""~/.config/klever/config.yaml: the servers that `klever` and `ormb` know, and their tokens.

    server: http://127.0.0.1:8080        # the current one, used unless a flag or KLEVER_SERVER names another
    namespace: default
    servers:
      http://127.0.0.1:8080: {token: …}
      https://klever.example.com:8080: {token: …, ca: /etc/klever/ca.pem}
      http://10.0.0.5:8080: {token: …, plaintext: true}    # its token may be sent in plain HTTP

`klever up` and `klever login` write it, with mode 0600. Users may edit it. Older versions kept one `token` next to
`server`, which belongs to that server.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from klever.client.addresses import Address
from klever.disk import write_private
from klever.errors import FieldViolation, InvalidError

__all__ = ["DEFAULT_SERVER", "Config", "Server", "config_path", "update_config"]

DEFAULT_SERVER: Final = "http://127.0.0.1:8080"
_KEYS: Final = ("server", "namespace", "servers", "token")
_SERVER_KEYS: Final = ("token", "ca", "plaintext")


@dataclass(frozen=True, slots=True)
class Server:
    """The settings of one server. `ca` is a file of certificates to trust instead of the system's."""

    token: str = field(default="", repr=False)
    ca: str = ""
    plaintext: bool = False
    """Whether the token may be sent in plain HTTP beyond loopback."""


@dataclass(frozen=True, slots=True)
class Config:
    """The file. The keys of `servers` are canonical URLs (`klever.client.addresses`)."""

    server: str = DEFAULT_SERVER
    namespace: str = "default"
    servers: Mapping[str, Server] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file, which may be missing. Raises `InvalidError` that names the file and the key."""
        if not path.exists():
            return cls()
        try:
            return cls._parse(_document(path))
        except InvalidError as error:
            violations = tuple(FieldViolation(f"{path}: {v.field}", v.description) for v in error.violations)
            raise InvalidError("" if violations else f"{path}: {error.message}", violations=violations) from error

    @classmethod
    def _parse(cls, document: dict[str, Any]) -> Self:
        _check_keys(document, _KEYS, "")
        entries = document.get("servers") or {}
        if not isinstance(entries, dict):
            raise _violation("servers", "must be an object of servers")
        servers = {_url(url): _server(url, entry) for url, entry in entries.items()}
        server = _text(document, "server", "") or DEFAULT_SERVER
        token = _text(document, "token", "")
        if token:
            servers = {Address.parse(server).url("http"): Server(token), **servers}
        return cls(server, _text(document, "namespace", "") or "default", servers)

    def resolve_url(self, server: str, *, tls: bool = False, plaintext: bool = False) -> str:
        """Return the canonical URL of a server from a user's input. Raises `InvalidError`.

        Without a scheme it is https with `tls`, else the scheme of the saved address, else http on loopback or with
        `plaintext`, and https otherwise.
        """
        address = Address.parse(server)
        known = next((url for url in (address.url("https"), address.url("http")) if url in self.servers), "")
        if known and not tls and not address.scheme:
            return known
        plain = not tls and (plaintext or address.loopback)
        return address.url("http" if plain else "https")

    def of(self, url: str) -> Server:
        """Return the settings of a canonical URL. A token saved for http may be sent over https, not the reverse."""
        if url in self.servers:
            return self.servers[url]
        address = Address.parse(url)
        plain = self.servers.get(address.over("http")) if address.host != "localhost" else None
        return Server(plain.token) if plain and address.scheme == "https" else Server()

    def with_current(self, url: str, server: Server) -> Self:
        """Save `server` under its canonical URL as the current one. This replaces any other settings of its address."""
        address = Address.parse(url)
        gone = {address.over("http"), address.over("https")}
        others = {known: kept for known, kept in self.servers.items() if known not in gone}
        return replace(self, server=url, servers={**others, url: server})

    def encode(self) -> str:
        import yaml

        servers = {url: _encoded(server) for url, server in self.servers.items()}
        document = {"server": self.server, "namespace": self.namespace, "servers": servers}
        return yaml.safe_dump(document, sort_keys=False)


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the file: below XDG_CONFIG_HOME, else ~/.config."""
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home()) / ".config"
    return Path(base) / "klever" / "config.yaml"


def update_config(path: Path, change: Callable[[Config], Config]) -> None:
    """Change the file with `change`, under a lock."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        write_private(path, change(Config.read(path)).encode())
    finally:
        os.close(handle)


def _document(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader) or {}  # noqa: S506 - strings only
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidError(f"invalid YAML: {error}") from error
    if not isinstance(document, dict):
        raise InvalidError("must be an object")
    return document


def _url(server: object) -> str:
    try:
        return Config().resolve_url(str(server))
    except InvalidError as error:
        raise _violation(f"servers[{server}]", "must be HOST:PORT or a URL of http or https") from error


def _server(url: object, entry: object) -> Server:
    path = f"servers[{url}]"
    if not isinstance(entry, dict):
        raise _violation(path, "must be an object")
    _check_keys(entry, _SERVER_KEYS, f"{path}.")
    plaintext = _text(entry, "plaintext", f"{path}.") or "false"
    if plaintext not in ("true", "false"):
        raise _violation(f"{path}.plaintext", "must be true or false")
    return Server(_text(entry, "token", f"{path}."), _text(entry, "ca", f"{path}."), plaintext == "true")


def _encoded(server: Server) -> dict[str, Any]:
    kept = {"token": server.token, "ca": server.ca, "plaintext": server.plaintext}
    return {key: value for key, value in kept.items() if value}


def _check_keys(document: dict[str, Any], known: tuple[str, ...], prefix: str) -> None:
    if unknown := next((key for key in document if key not in known), None):
        raise _violation(f"{prefix}{unknown}", f"must be one of {', '.join(known)}")


def _text(document: dict[str, Any], key: str, prefix: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise _violation(f"{prefix}{key}", "must be text")
    return value


def _violation(path: str, description: str) -> InvalidError:
    return InvalidError(violations=(FieldViolation(path, description),))
